"""What each client makes of cancelled streams and of failing nodes: `python -m tests.bench.parts.faults`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import uvloop

from tests.bench.environments import ROOT, parts_environment
from tests.bench.parts.clients import CLIENTS, Client
from tests.bench.report import markdown

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWERS = {
    b"/silent": b"",
    b"/stream": STREAM,  # and no more
    b"/whole": WHOLE,
    b"/race": WHOLE,  # closed when the connection is used again
    b"/cut-chunks": STREAM,  # then closed
    b"/cut-length": WHOLE[:-2],  # then closed
    b"/garbage": b"nonsense\r\n\r\n",
}


class Node:
    """A node that can be restarted and counts the connections on which it still owes the end of a reply."""

    def __init__(self) -> None:
        self.port = 0
        self._owing: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def owing(self) -> int:
        return len(self._owing)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            self._owing.discard(writer)
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = 0
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)  # the body is always {}
            path = head.split(b" ", 2)[1]
            if path == b"/race" and served:
                return
            if path in (b"/silent", b"/stream"):
                self._owing.add(writer)
            writer.write(ANSWERS[path])
            served += 1
            if path.startswith((b"/cut", b"/garbage")):
                return


async def whole(client: Client, path: str) -> bytes:
    async with client(path, b"{}") as (_, _, chunks):
        return b"".join([chunk async for chunk in chunks])


async def answered(client: Client, path: str, count: int) -> int:
    """How many of so many requests at once are answered."""
    replies = await asyncio.gather(*[whole(client, path) for _ in range(count)], return_exceptions=True)
    return sum(reply == b"hello" for reply in replies)


async def cancelled(client: Client, node: Node, count: int) -> str:
    """Streams cancelled at every point, 50 at a time, each after another number of turns of the loop."""

    async def worker(number: int) -> None:
        for turn in range(count // 50):
            path = ("/silent", "/stream", "/whole", "/stream")[turn % 4]
            task = asyncio.create_task(whole(client, path))
            for _ in range((number + turn * 7) % 16):
                await asyncio.sleep(0)
            task.cancel()
            # Whatever a client raises when it is cancelled, what counts is what it leaves open.
            with suppress(asyncio.CancelledError, Exception):
                await task

    started = time.perf_counter()
    await asyncio.gather(*[worker(number) for number in range(50)])
    took_s = time.perf_counter() - started
    await asyncio.sleep(1)
    left = node.owing
    after = await answered(client, "/whole", 20)
    return f"{took_s:.1f} s, {left} still open, then {after} of 20 answered"


async def restarted(client: Client, node: Node) -> str:
    await answered(client, "/whole", 20)
    await node.stop()
    await node.start()
    return f"{await answered(client, '/whole', 20)} of 20"


async def raced(client: Client, node: Node) -> str:
    return f"{sum([await answered(client, '/race', 1) for _ in range(20)])} of 20"


def refused(path: str) -> Callable[[Client, Node], Awaitable[str]]:
    async def check(client: Client, node: Node) -> str:
        try:
            async with asyncio.timeout(5):
                body = await whole(client, path)
        except Exception as error:  # each client has errors of its own
            return type(error).__name__
        return f"taken for whole: {body!r}"

    return check


CHECKS: dict[str, Callable[[Client, Node], Awaitable[str]]] = {
    "answered after a restart": restarted,
    "answered when each second use of a connection finds it closed": raced,
    "chunks cut off": refused("/cut-chunks"),
    "Content-Length cut off": refused("/cut-length"),
    "garbage": refused("/garbage"),
}


async def row(name: str, streams: int) -> list[str]:
    """All checks of one client, each with a node of its own."""
    cells = [name]
    for check in [lambda client, node: cancelled(client, node, streams), *CHECKS.values()]:
        node = Node()
        await node.start()
        cells.append(await check(CLIENTS[name](node.url), node))
        await node.stop()
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.parts.faults", description="compare clients under faults"
    )
    parser.add_argument("--streams", type=int, default=10_000, help="streams that are cancelled")
    parser.add_argument("--row", choices=CLIENTS, help="one client, in this interpreter")
    options = parser.parse_args()
    if options.row:
        logging.disable()  # clients complain about sessions that are left open on purpose
        print("\t".join(uvloop.run(row(options.row, options.streams))))
        return
    python = str(parts_environment() / "python")
    rows = []
    for name in CLIENTS:
        command = [python, "-m", "tests.bench.parts.faults", "--row", name, "--streams", str(options.streams)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        rows.append(run.stdout.strip().split("\t"))
        print(" | ".join(rows[-1]), flush=True)
    print("\n" + markdown([["client", f"{options.streams} cancelled streams", *CHECKS], *rows]))


if __name__ == "__main__":
    main()

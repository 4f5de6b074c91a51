"""The load: connections that each send the next request when the last reply is whole.

No tasks, no client library: one asyncio.Protocol per connection, so that the proxy is what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from tests.bench.upstream import MARK, MARK_DIGITS

ENOUGH = 50  # replies


@dataclass(slots=True)
class Tally:
    """What was received since the last reset; times in milliseconds."""

    replies: int = 0
    chunks: int = 0
    errors: int = 0
    first_ms: list[float] = field(default_factory=list)  # request written to first chunk of content
    whole_ms: list[float] = field(default_factory=list)  # request written to end of reply
    forward_ms: list[float] = field(default_factory=list)  # chunk written by the upstream to received here
    last_error: str = ""

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]


class Connection(asyncio.Protocol):
    """Sends `request` again and again until told to stop."""

    def __init__(self, request: bytes, chunks: int, tally: Tally, *, once: bool) -> None:
        self.request = request
        self.chunks = chunks  # expected in each reply; 0 where the reply is not a stream
        self.tally = tally
        self.once = once
        self.stopping = False
        self.done = False  # nothing more is expected on this connection
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if chunks:
            self.on_body = self.count
        self.parser = httptools.HttpResponseParser(self)
        self.got = 0
        self.tail = b""
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.got = 0
        self.tail = b""
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"malformed reply: {error}")

    def count(self, body: bytes) -> None:
        now_us = time.monotonic_ns() // 1000
        _, *marked = (self.tail + body).split(MARK)
        self.tail = b""
        if marked and len(marked[-1]) < MARK_DIGITS:
            self.tail = MARK + marked.pop()
        if not marked:
            return
        if not self.got:
            self.tally.first_ms.append((time.perf_counter() - self.started) * 1000)
        self.got += len(marked)
        self.tally.chunks += len(marked)
        forward = self.tally.forward_ms
        for part in marked:
            forward.append((now_us - int(part[:MARK_DIGITS])) / 1000)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status != 200 or self.got != self.chunks:
            self.fail(f"status {status}, {self.got} chunks of {self.chunks}")
            return
        self.tally.replies += 1
        self.tally.whole_ms.append((time.perf_counter() - self.started) * 1000)
        if self.stopping or self.once:
            self.done = True
            self.transport.close()
        elif not self.parser.should_keep_alive():
            self.fail("the connection is not kept")
        else:
            self.send()

    def fail(self, reason: str) -> None:
        self.done = True
        self.tally.errors += 1
        self.tally.last_error = reason
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.stopping and not self.done:
            self.fail(f"connection lost: {error}")
        if not self.lost.done():
            self.lost.set_result(None)


class Load:
    """`connections` connections to a port, all sending the same request."""

    def __init__(self, port: int, request: bytes, chunks: int) -> None:
        self.port = port
        self.request = request
        self.chunks = chunks
        self.tally = Tally()
        self.connections: list[Connection] = []

    async def open(self, connections: int, *, once: bool = False) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(
                lambda: Connection(self.request, self.chunks, self.tally, once=once), "127.0.0.1", self.port
            )
            self.connections.append(made)

    async def run(self, warm_s: float, seconds: float, between: Callable[[], None]) -> float:
        """Warm up, reset the tally, load; `between` is called at both ends. The time taken, in seconds.

        A target too slow to give enough replies in that time gets up to eight times as long.
        """
        await asyncio.sleep(warm_s)
        self.tally.reset()
        between()
        started = time.perf_counter()
        for _ in range(8):
            await asyncio.sleep(seconds)
            if self.tally.replies >= ENOUGH or self.tally.chunks >= 10 * ENOUGH or self.tally.errors:
                break
        between()
        return time.perf_counter() - started

    async def close(self) -> None:
        for connection in self.connections:
            connection.stopping = True
            connection.transport.abort()
        await asyncio.gather(*[connection.lost for connection in self.connections])
        self.connections.clear()


def http_request(port: int, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

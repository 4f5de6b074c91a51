"""A node of the tests: a real TCP server whose every byte the test decides."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from bridge.transport import Origin


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the node read it."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    def header(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


class NodeSide:
    """The node's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number  # 1 for the first connection that the node accepted
        self.sent = 0

    async def request(self) -> Received | None:
        """The next request, whole; None when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        received = Received(head[:-4], b"")
        length = received.header(b"content-length")
        if length is not None:
            return Received(head[:-4], await self.reader.readexactly(int(length)))
        if received.header(b"transfer-encoding") == b"chunked":
            return Received(head[:-4], await self._chunks())
        return received

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return bytes(body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()

    async def closed_by_client(self) -> None:
        with suppress(ConnectionError):
            while await self.reader.read(2**16):
                pass

    def socket(self) -> socket.socket:
        return self.writer.get_extra_info("socket")

    def shutdown(self) -> None:
        """Send FIN this moment, not at the loop's next turn."""
        with socket.socket(fileno=os.dup(self.socket().fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close with RST, as a killed process or a firewall does."""
        self.socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[NodeSide], Awaitable[None]]


class SocketNode:
    """Runs `handler` for each connection and closes it when the handler returns."""

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.handler = handler
        self.accepted = 0
        self.sides: list[NodeSide] = []
        self.open = 0
        self.port = 0
        self._host = host
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> Origin:
        return Origin("localhost" if self._tls else self._host, self.port, self._tls is not None)

    async def start(self) -> None:
        """Listen, after a stop on the same port."""
        self._server = await asyncio.start_server(
            self._accept, self._host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        side = NodeSide(reader, writer, self.accepted)
        self.sides.append(side)
        try:
            await self.handler(side)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.open -= 1
            self._tasks.discard(task)


def replying(*replies: bytes) -> Handler:
    """Answer the requests of each connection with these bytes in turn, the last again and again."""

    async def handler(side: NodeSide) -> None:
        count = 0
        while await side.request() is not None:
            await side.send(replies[min(count, len(replies) - 1)])
            count += 1

    return handler


def sized(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A reply with Content-Length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    """A whole reply in chunks."""
    return CHUNKED_HEAD + b"".join(chunk(data) for data in chunks) + b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Give the loop turns until the condition holds; TimeoutError when it never does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.001)

"""A node's reply while it arrives: the connection fills it, one reader empties it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol, Self

from bridge.transport.errors import NodeError, NodeProtocolError, Phase
from bridge.transport.origin import Origin

READ_LIMIT = 64 * 2**20  # bytes


class Source(Protocol):
    """What a reply asks of the connection that it comes from."""

    origin: Origin

    def await_body(self, seconds: float | None) -> None:
        """The reader has nothing left: the node may stay silent that long from now."""

    def resume(self) -> None:
        """The buffer is empty again."""

    def abandon(self, reason: str) -> None:
        """Close the connection and fail the reply."""


class Reply:
    """Status, headers (names in lower case) and body of a reply.

    Iterating gives the body as it comes, all that is pending joined into one chunk, Content-Encoding left
    alone. It raises NodeError when the body does not come to its end. Use it as a context manager, or call
    aclose(): a reply left unread holds its connection.
    """

    __slots__ = (
        "_chunks",
        "_ended",
        "_error",
        "_idle_timeout_s",
        "_source",
        "_waiter",
        "buffered",
        "headers",
        "status",
    )

    def __init__(self, source: Source, idle_timeout_s: float | None) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.buffered = 0  # bytes received and not yet read
        self._chunks: list[bytes] = []
        self._ended = False
        self._error: NodeError | None = None
        self._source = source
        self._idle_timeout_s = idle_timeout_s
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    # The connection's side.

    def receive_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = headers
        self.status = status
        self._wake()

    def receive_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.buffered += len(chunk)
        self._wake()

    def finish(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, error: NodeError) -> None:
        """End it in error; the reader still gets what came before."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    @property
    def started(self) -> bool:
        return self.status != 0

    @property
    def ended(self) -> bool:
        """Whole or failed: nothing more will come, and the connection has left it."""
        return self._ended

    @property
    def waiting(self) -> bool:
        """The reader waits and nothing has come yet."""
        return self._waiter is not None and not self._waiter.done()

    # The reader's side.

    async def wait_for_head(self) -> None:
        """Return when status and headers are there, raise NodeError when they will not come."""
        if not self.started and not self._ended:
            await self._wait()
        if self._error is not None and not self.started:
            raise self._error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks and not self._ended:
            self._source.await_body(self._idle_timeout_s)
            await self._wait()
        if self._chunks:
            return self._take()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """The whole body; NodeProtocolError when it is larger than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > limit:
                await self.aclose()
                reason = f"the reply is larger than the {limit} bytes allowed"
                raise NodeProtocolError(self._source.origin, Phase.BODY, reason)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        """See drop()."""
        self.drop()

    def drop(self) -> None:
        """Drop what is unread; closes the connection when the body has not come to its end. Never waits."""
        self._chunks.clear()
        self.buffered = 0
        if not self._ended:
            self._source.abandon("the reply was closed on this side before its end")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered = 0
        if not self._ended:
            self._source.resume()
        return data

    async def _wait(self) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            if not self._ended:
                self._source.abandon("the request was cancelled on this side")
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

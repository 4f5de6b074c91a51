"""One HTTP/1.1 connection to a node, with at most one exchange on it at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import cast

from bridge.transport.deadline import Deadline
from bridge.transport.errors import NodeClosed, NodeError, NodeProtocolError, NodeTimeout, Phase
from bridge.transport.origin import Origin
from bridge.transport.parser import Malformed, ReplyParser
from bridge.transport.pool import Pool
from bridge.transport.reply import Reply
from bridge.transport.request import LAST_CHUNK, Request, encode_chunk

# Small bodies are joined to the head, so that they leave in one packet and one system call.
_JOIN_UP_TO = 64 * 1024  # bytes
# A node whose machine has vanished answers no probe: an unanswered connection ends within a minute.
_KEEPALIVE_OPTIONS = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connection may hold and how long it may stay unused."""

    keepalive_s: float
    high_water: int  # bytes of body that may wait for the reader before the node is made to wait
    max_head: int  # bytes


class Connection(asyncio.Protocol):
    """Writes requests, fills replies, and goes back to the pool when a reply has come whole."""

    __slots__ = (
        "_deadline",
        "_drained",
        "_limits",
        "_parser",
        "_paused",
        "_pool",
        "_reply",
        "_request_sent",
        "_silence_s",
        "_transport",
        "_writable",
        "origin",
    )

    def __init__(self, origin: Origin, limits: Limits, pool: Pool) -> None:
        self.origin = origin
        self._limits = limits
        self._pool = pool
        self._parser = ReplyParser(limits.max_head)
        self._deadline = Deadline(asyncio.get_running_loop(), self._deadline_passed)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._request_sent = False
        self._silence_s: float | None = None
        self._paused = False  # the node is made to wait for our reader
        self._writable = True  # the node reads as fast as we write
        self._drained: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """A request may be written to it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def heard(self) -> bool:
        """Any byte has come since the last request began."""
        return self._parser.heard

    async def exchange(
        self, request: Request, first_byte_timeout_s: float | None, idle_timeout_s: float | None
    ) -> Reply:
        """Send the request and return its reply once its head is there. Raises NodeError.

        Silence while the node does not take the body counts against `first_byte_timeout_s` too.
        """
        if not self.usable:
            # The node closed it after accepting it, before this task had its turn: no event would come.
            raise NodeClosed(
                self.origin, Phase.REQUEST, "the connection was lost before the request was sent"
            )
        self._reply = reply = Reply(self, idle_timeout_s)
        self._parser.expect(reply, request.method)
        self._allow(first_byte_timeout_s)
        try:
            if isinstance(request.body, bytes):
                self._write_whole(request.head, request.body)
            else:
                await self._write_streamed(request.head, request.body, request.length)
                self._allow(first_byte_timeout_s)
            await reply.wait_for_head()
        except BaseException:
            if not reply.ended:
                self.abandon("the request could not be sent whole")
            raise
        return reply

    def await_body(self, seconds: float | None) -> None:
        """The reader has nothing left: the node may stay silent that long from now."""
        self._allow(seconds)

    def resume(self) -> None:
        """The reader has emptied its buffer: let the node go on."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def abandon(self, reason: str) -> None:
        """Close the connection; a reply under way fails with that reason."""
        self._fail(NodeClosed(self.origin, self._phase(), reason))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _keep_alive(transport.get_extra_info("socket"))
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            # An idle connection has nothing to say: what comes would be taken for the next reply.
            self._close()
            return
        try:
            self._parser.feed(data)
        except Malformed as error:
            self._fail(NodeProtocolError(self.origin, self._phase(), f"malformed reply: {error}"))
            return
        if self._parser.complete:
            self._release()
        elif reply.buffered > self._limits.high_water and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._reply is not None and self._parser.feed_eof():
            self._release()
        else:
            self._fail(NodeClosed(self.origin, self._phase(), "the node closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        reason = f"the connection was lost: {error}" if error else "the connection was closed"
        self._fail(NodeClosed(self.origin, self._phase(), reason))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake_writer()

    # The request.

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _write_whole(self, head: bytes, body: bytes) -> None:
        if len(body) <= _JOIN_UP_TO:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        self._request_sent = True

    async def _write_streamed(self, head: bytes, body: AsyncIterable[bytes], length: int | None) -> None:
        self._request_sent = False
        self._write(head)
        sent = 0
        async for chunk in body:
            sent += len(chunk)
            if self._answered() or (length is not None and sent > length):
                break
            if chunk:
                self._write(chunk if length is not None else encode_chunk(chunk))
                await self._drain()
        if self._answered():
            return
        if length is None:
            self._write(LAST_CHUNK)
        elif sent != length:
            raise ValueError(f"the body is not of the {length} bytes that its Content-Length promised")
        self._request_sent = True

    def _answered(self) -> bool:
        """The node has replied, or the connection is gone: the rest of the body is not wanted."""
        return self._reply is None or self._reply.started

    async def _drain(self) -> None:
        """Wait while the node does not read; each wait may last as long as that for the first byte."""
        if self._writable or self._answered():
            return
        self._allow(self._silence_s)
        self._drained = asyncio.get_running_loop().create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # The end.

    def _phase(self) -> Phase:
        if self._reply is not None and self._reply.started:
            return Phase.BODY
        return Phase.HEAD if self._request_sent else Phase.REQUEST

    def _allow(self, silence_s: float | None) -> None:
        self._silence_s = silence_s
        self._deadline.set(silence_s)

    def _deadline_passed(self) -> None:
        reply = self._reply
        if reply is None:
            self._close()
        elif not reply.started or reply.waiting:
            reason = f"the node stayed silent for the {self._silence_s:g} s allowed"
            self._fail(NodeTimeout(self.origin, self._phase(), reason))

    def _release(self) -> None:
        """The reply has come whole."""
        self._reply = None
        self._wake_writer()
        transport = self._transport
        if (
            self._parser.reusable
            and self._request_sent
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
            and self._pool.give_back(self)
        ):
            self._deadline.set(self._limits.keepalive_s)
        else:
            self._close()

    def _fail(self, error: NodeError) -> None:
        reply, self._reply = self._reply, None
        self._close()
        self._wake_writer()
        if reply is not None:
            reply.fail(error)

    def _close(self) -> None:
        """Close the socket now, without waiting for what is unsent; harmless when repeated."""
        self._deadline.close()
        self._pool.lost(self)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


def _keep_alive(sock: socket.socket | None) -> None:
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE_OPTIONS:
        # macOS names the first TCP_KEEPALIVE, Linux TCP_KEEPIDLE; each has only its own.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""The data plane's HTTP client: pooled HTTP/1.1 towards nodes."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from ssl import SSLContext, create_default_context

import httpx

from bridge.transport.connection import Connection, Limits
from bridge.transport.errors import NodeClosed, NodeError, NodeTimeout, NodeUnreachable, Phase
from bridge.transport.httpx_adapter import ReplyStream, body_of, origin_of, read_timeout_s, to_httpx
from bridge.transport.origin import Origin
from bridge.transport.pool import Connections, Pool
from bridge.transport.reply import Reply
from bridge.transport.request import Body, Headers, encode_request

# A node that had closed an idle connection before our request arrived tells us within a round trip.
STALE_WINDOW_S = 1.0


def may_repeat(error: NodeError, *, heard: bool, elapsed_s: float, body: Body) -> bool:
    """Whether a request on a reused connection met a node that had just closed it.

    Then the node never read the request, so that sending it again, a POST too, does nothing twice. Three
    things must hold: the connection ended without one byte of a reply; it ended within a round trip of our
    writing, because a later end means that the node took the request and died on it; and the body is whole
    in memory. Were the guess wrong, Ollama would generate again what nobody has seen: it stops a generation
    whose connection is gone.
    """
    closed = isinstance(error, NodeClosed) and error.phase in (Phase.REQUEST, Phase.HEAD)
    return closed and not heard and elapsed_s < STALE_WINDOW_S and isinstance(body, bytes)


class NodeTransport(httpx.AsyncBaseTransport):
    """Keep-alive connections to any number of nodes, for one event loop.

    `send` is the data plane's way in; handle_async_request serves httpx.AsyncClient on top of it.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 2.0,
        keepalive_s: float = 50.0,
        max_idle: int = 256,
        ssl: SSLContext | None = None,
        high_water: int = 64 * 1024,
        max_head: int = 64 * 1024,
    ) -> None:
        """`max_idle` is per node; `high_water` and `max_head` are bytes; `ssl` serves https origins."""
        self._connect_timeout_s = connect_timeout_s
        self._limits = Limits(keepalive_s=keepalive_s, high_water=high_water, max_head=max_head)
        self._pool = Pool(max_idle)
        self._ssl = ssl
        self._closed = False
        self.repeated = 0  # requests sent again because a node had closed an idle connection

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: Body = b"",
        *,
        first_byte_timeout_s: float | None = None,
        idle_timeout_s: float | None = None,
    ) -> Reply:
        """Send a request; return its reply as soon as status and headers are there. Raises NodeError.

        `first_byte_timeout_s` bounds the wait for the head, `idle_timeout_s` each wait for more of the body.
        """
        request = encode_request(origin, method, target, headers, body)
        connection = self._pool.take(origin)
        if connection is not None:
            started = time.monotonic()
            try:
                return await connection.exchange(request, first_byte_timeout_s, idle_timeout_s)
            except NodeClosed as error:
                elapsed_s = time.monotonic() - started
                if not may_repeat(error, heard=connection.heard, elapsed_s=elapsed_s, body=body):
                    raise
                self.repeated += 1
        connection = await self._connect(origin)
        return await connection.exchange(request, first_byte_timeout_s, idle_timeout_s)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """httpx's way in; its read timeout bounds the wait for the head and for each chunk."""
        silence_s = read_timeout_s(request)
        try:
            reply = await self.send(
                origin_of(request),
                request.method.encode("ascii"),
                request.url.raw_path,
                request.headers.raw,
                body_of(request),
                first_byte_timeout_s=silence_s,
                idle_timeout_s=silence_s,
            )
        except NodeError as error:
            raise to_httpx(error, request) from error
        return httpx.Response(
            reply.status,
            headers=reply.headers,
            stream=ReplyStream(reply, request),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail with NodeClosed."""
        self._closed = True
        self._pool.close()

    def connections(self) -> Connections:
        """How many connections there are now."""
        return self._pool.connections()

    async def _connect(self, origin: Origin) -> Connection:
        if self._closed:
            raise RuntimeError("the transport is closed")
        connection = Connection(origin, self._limits, self._pool)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, origin.host, origin.port, ssl=self._ssl_for(origin)
                )
            if self._closed:
                raise NodeUnreachable(origin, Phase.CONNECT, "the transport was closed on this side")
        except BaseException as error:
            connection.abandon("the connection was not made")
            if isinstance(error, TimeoutError):
                reason = f"no connection within {self._connect_timeout_s:g} s"
                raise NodeTimeout(origin, Phase.CONNECT, reason) from error
            if isinstance(error, (OSError, UnicodeError)):
                raise NodeUnreachable(origin, Phase.CONNECT, str(error) or type(error).__name__) from error
            raise
        return connection

    def _ssl_for(self, origin: Origin) -> SSLContext | None:
        if not origin.tls:
            return None
        if origin.ca:
            return _trusting(origin.ca)
        if self._ssl is None:
            self._ssl = create_default_context()
        return self._ssl


@lru_cache(maxsize=64)
def _trusting(ca: str) -> SSLContext:
    """Trusts what this authority (PEM) has signed, and nothing else."""
    return create_default_context(cadata=ca)

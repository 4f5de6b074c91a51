"""httpx's objects on one side, ours on the other: requests, replies and errors translated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from bridge.transport.errors import (
    NodeClosed,
    NodeError,
    NodeProtocolError,
    NodeTimeout,
    NodeUnreachable,
    Phase,
)
from bridge.transport.origin import Origin
from bridge.transport.reply import Reply
from bridge.transport.request import Body

_ERRORS: tuple[tuple[type[NodeError], type[httpx.TransportError]], ...] = (
    (NodeUnreachable, httpx.ConnectError),
    (NodeProtocolError, httpx.RemoteProtocolError),
    (NodeClosed, httpx.RemoteProtocolError),
)
_TIMEOUTS: dict[Phase, type[httpx.TransportError]] = {
    Phase.CONNECT: httpx.ConnectTimeout,
    Phase.REQUEST: httpx.WriteTimeout,
    Phase.HEAD: httpx.ReadTimeout,
    Phase.BODY: httpx.ReadTimeout,
}


def to_httpx(error: NodeError, request: httpx.Request) -> httpx.TransportError:
    """The httpx exception that its users expect for our error."""
    if isinstance(error, NodeTimeout):
        return _TIMEOUTS[error.phase](str(error), request=request)
    kind = next(theirs for ours, theirs in _ERRORS if isinstance(error, ours))
    return kind(str(error), request=request)


def origin_of(request: httpx.Request) -> Origin:
    url = request.url
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol(f"{url.scheme!r} is not http or https", request=request)
    tls = url.scheme == "https"
    return Origin(url.raw_host.decode("ascii").strip("[]"), url.port or (443 if tls else 80), tls)


def body_of(request: httpx.Request) -> Body:
    """The body whole where httpx has it whole, else as the stream that it is."""
    try:
        return request.content
    except httpx.RequestNotRead:
        if isinstance(request.stream, httpx.AsyncByteStream):
            return request.stream
        raise TypeError("an async transport needs an async body") from None


def read_timeout_s(request: httpx.Request) -> float | None:
    """httpx has one read timeout for the head and for each chunk; None for never."""
    timeouts = request.extensions.get("timeout", {})
    seconds: float | None = timeouts.get("read")
    return seconds


class ReplyStream(httpx.AsyncByteStream):
    """A reply's body as httpx reads it."""

    def __init__(self, reply: Reply, request: httpx.Request) -> None:
        self._reply = reply
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._reply:
                yield chunk
        except NodeError as error:
            raise to_httpx(error, self._request) from error

    async def aclose(self) -> None:
        await self._reply.aclose()

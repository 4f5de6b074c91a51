"""The bytes of a request."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import NamedTuple

from bridge.transport.origin import Origin

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterable[bytes]

# Framing and the life of the connection are this side's business, whatever the caller passes on.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_BODILESS = (b"GET", b"HEAD", b"DELETE", b"OPTIONS")


class Request(NamedTuple):
    """A request ready to be written."""

    method: bytes
    head: bytes
    body: Body
    length: int | None  # of the body in bytes; None when it goes in chunks


def encode_request(origin: Origin, method: bytes, target: bytes, headers: Headers, body: Body) -> Request:
    """A body of bytes has its length; a streamed one that of its Content-Length, or goes in chunks."""
    length = len(body) if isinstance(body, bytes) else declared_length(headers)
    return Request(method, encode_head(origin, method, target, headers, length=length), body, length)


def encode_head(
    origin: Origin, method: bytes, target: bytes, headers: Headers, *, length: int | None
) -> bytes:
    """Request line and headers; `length` is the body's in bytes, None when it goes in chunks.

    Host is the caller's, else the origin's. Hop-by-hop headers of the caller are dropped.
    Raises ValueError where a line break or a blank would let a value become a header or a request.
    """
    host = origin.host_header
    lines = [b"%b %b%b HTTP/1.1" % (method, origin.prefix, target), *origin.lines]
    for name, value in headers:
        lower = name.lower()
        if lower == b"host":
            host = value
        elif lower not in _HOP_BY_HOP:
            lines.append(b"%b: %b" % (name, value))
    lines.append(b"host: %b" % host)
    if length is None:
        lines.append(b"transfer-encoding: chunked")
    elif length or method not in _BODILESS:
        lines.append(b"content-length: %d" % length)
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or b" " in target:
        raise ValueError(f"the request to {origin} has a control character, or a blank in its target")
    return head + b"\r\n\r\n"


def declared_length(headers: Headers) -> int | None:
    """The caller's Content-Length, in bytes; None when there is none. ValueError when it is no number."""
    for name, value in headers:
        if name.lower() == b"content-length":
            if not value.isdigit():
                raise ValueError("Content-Length must be a whole number of bytes")
            return int(value)
    return None


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; `data` must not be empty, because that is the end mark."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"

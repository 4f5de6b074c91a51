"""One HTTP request and its response on raw ASGI, framed as Go's server frames them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json; charset=utf-8"
PLAIN_JSON = b"application/json"
NDJSON = b"application/x-ndjson"
TEXT = b"text/plain; charset=utf-8"
SSE = b"text/event-stream"
_UNSIZED = 2048  # Go states no Content-Length above this many bytes, it sends chunks


def go_json(value: object) -> bytes:
    """JSON as Go's encoder writes it: the three characters that HTML minds are escaped."""
    data = orjson.dumps(value)
    if b"<" in data or b">" in data or b"&" in data:
        data = data.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    return data


class Exchange:
    """Reads the request's body and writes the response; knows when the client has left."""

    __slots__ = ("_receive", "_send", "_watcher", "extra", "gone", "head", "headers", "path", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None
        self.path: str = scope["path"]
        self.head: bool = scope["method"] == "HEAD"
        self.headers: Headers = scope["headers"]
        self.extra: Headers = []  # of every response
        self.gone = False
        self.started = False

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key == name), b"")

    async def body(self) -> bytes:
        message = await self._receive()
        if not message.get("more_body"):
            return message.get("body", b"") or b""
        parts = [message.get("body", b"")]
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    def watch(self) -> None:
        """From now on the handling task is cancelled when the client leaves."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._await_disconnect(asyncio.current_task()))

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _await_disconnect(self, handler: asyncio.Task[Any] | None) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if handler is not None:
            handler.cancel()

    async def start(self, status: int, content_type: bytes) -> None:
        self.started = True
        headers = [(b"content-type", content_type), *self.extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def respond(
        self,
        status: int,
        content_type: bytes,
        data: bytes,
        extra: Headers | None = None,
        *,
        chunked: bool = False,
    ) -> None:
        """A whole response in one piece; `chunked` leaves its length unsaid."""
        headers = [*self.extra, *(extra or ())]
        if content_type:
            headers.append((b"content-type", content_type))
        if (len(data) <= _UNSIZED or self.head) and not chunked:
            headers.append((b"content-length", b"%d" % len(data)))
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self.head else data})

    async def json(self, value: object, status: int = 200) -> None:
        await self.respond(status, JSON, go_json(value))

    async def error(self, status: int, text: str) -> None:
        await self.json({"error": text}, status)

    async def empty(self, status: int) -> None:
        """A response without a body."""
        await self.respond(status, b"", b"")

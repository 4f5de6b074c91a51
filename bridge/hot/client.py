"""The client's side of one request: its body, its patience, and the news that it went away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from bridge.errors import BadInput, TooLarge
from bridge.hot.answer import Answer, Headers

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GRACE_S = 0.02  # most small requests end before anybody needs to listen for their client leaving
OPERATOR = "operator"  # why an operator's cancellation ended a request
DRAINING = "draining"  # why the end of this process did

# What a model wrote must not become a page, whatever a browser makes of it.
NOSNIFF = (b"x-content-type-options", b"nosniff")


class Client:
    """Cancels the task that serves it when the client leaves or stops reading."""

    def __init__(self, receive: Receive, send: Send, request_id: str = "") -> None:
        self.request_id = request_id
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._listener: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.gone = False
        self.begun = False  # status and headers are out
        self.why = "client_left"  # the reason in the record of a cancelled request
        self.sending_since: float | None = None  # monotonic; the sweeper of bridge.plane reads it
        self.reading_since: float | None = None  # likewise, while the client owes a piece of its body
        self._stalled = False

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge past `limit` bytes, BadInput when it stalls, CancelledError when
        the client leaves in the middle of it."""
        try:
            message = await self._next()
            if not message.get("more_body"):
                return self._within(message.get("body", b""), limit)
            parts = [self._within(message.get("body", b""), limit)]
            size = len(parts[0])
            while message.get("more_body"):
                message = await self._next()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise self._too_large(limit)
        except asyncio.CancelledError:
            self._raise_if_stalled()
            raise
        return b"".join(parts)

    async def _next(self) -> Message:
        self.reading_since = time.monotonic()
        message = await self._receive()
        self.reading_since = None
        if message["type"] == "http.disconnect":
            self.gone = True
            raise asyncio.CancelledError
        return message

    def stall(self) -> None:
        """The body stopped coming: end the wait for it."""
        if self._task is not None and self.reading_since is not None and not self.gone:
            self._stalled, self.reading_since = True, None
            self._task.cancel()

    def _raise_if_stalled(self) -> None:
        if self._stalled and self._task is not None and not self.gone:
            self._task.uncancel()
            raise BadInput("The request body stopped coming; send it without long pauses.", status=408)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece, of any size; raises as `body` does. Afterwards it listens for the client
        leaving."""
        more = True
        while more:
            try:
                message = await self._next()
            except asyncio.CancelledError:
                self._raise_if_stalled()
                raise
            if piece := message.get("body", b""):
                yield piece
            more = message.get("more_body", False)
        self.watch()

    def _within(self, body: bytes, limit: int) -> bytes:
        if len(body) > limit:
            raise self._too_large(limit)
        return body

    @staticmethod
    def _too_large(limit: int) -> TooLarge:
        return TooLarge(
            f"The request body is larger than {limit / 2**20:.0f} MiB, the most this bridge takes. "
            "Send fewer or smaller images, or ask an operator to raise BRIDGE_BODY_LIMIT."
        )

    def watch(self) -> None:
        """From now on listen for the client leaving; call once the body was read."""
        self._timer = asyncio.get_running_loop().call_later(GRACE_S, self._start_listening)

    def _start_listening(self) -> None:
        self._listener = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def leave(self, why: str = "client_left") -> None:
        """The client is gone, or counts as gone: end the work for it."""
        if not self.gone and self._task is not None:
            self.gone = True
            self.why = why
            self._task.cancel()

    def unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()

    async def begin(self, status: int, headers: Headers) -> None:
        """Send status and headers; does nothing when they are out already."""
        if not self.begun:
            self.begun = True
            headers.append(NOSNIFF)
            await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def push(self, chunk: bytes) -> None:
        """Send a piece of a body that goes on."""
        self.sending_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self.sending_since = None

    async def deliver(self, answer: Answer) -> None:
        """Send the answer. A stream goes chunk by chunk, as fast as the client takes it."""
        headers, body = answer.raw_headers, answer.body
        if isinstance(body, bytes):
            if not self.begun:
                headers.append((b"content-length", b"%d" % len(body)))
            await self.begin(answer.status_code, headers)
            await self._send({"type": "http.response.body", "body": body})
            return
        await self.begin(answer.status_code, headers)
        send, clock = self._send, time.monotonic
        async for chunk in body:
            self.sending_since = clock()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.sending_since = None
        self.sending_since = clock()  # the end waits too, for the client to take what came before it
        await send({"type": "http.response.body", "body": b""})

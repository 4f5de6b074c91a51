"""The answer of the API: a Django response whose headers are bytes already."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from django.http.response import HttpResponseBase

Headers = list[tuple[bytes, bytes]]


class Answer(HttpResponseBase):
    """`body` is bytes, or an async iterator of bytes for a stream. `on_close` runs once, when the answer was
    sent, broke off or was never begun; it must not wait."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: bytes | AsyncGenerator[bytes, None],
        *,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        # HttpResponseBase.__init__ would build a case-insensitive header map that nobody reads.
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.streaming = not isinstance(body, bytes)
        self.closed = False
        self._on_close = on_close

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self._on_close is not None:
                self._on_close()


def json_answer(status: int, body: bytes, headers: Headers | None = None) -> Answer:
    return Answer(status, [(b"content-type", b"application/json; charset=utf-8"), *(headers or [])], body)

"""Bounds of a request's head, which uvicorn does not have: how long it may be, and how long it may take."""

from __future__ import annotations

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536  # nginx with large_client_header_buffers 4 16k lets as much through
FIELD_BYTES = 4  # the colon, the space and the line's end that httptools does not show

SAYS = {
    431: ("Request Header Fields Too Large", f"The request's headers are longer than {HEAD_BYTES} bytes."),
    408: ("Request Timeout", "The request's headers took too long to come."),
}


class HeadTooLong(Exception):
    """Raised inside the parser, which ends with an error of its own."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `head_since` is when its present head was begun, None while none is open; whoever
    serves asks `overdue` now and then, so that no request costs a timer."""

    head_since: float | None = None
    _head_bytes = 0
    _too_long = False

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]  # uvicorn's is narrower
        super().connection_made(transport)
        self.head_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The parser holds a field back until it is whole: of a head that is still open, all bytes count.
        if self.head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self.head_since = time.monotonic()

    def on_headers_complete(self) -> None:
        self.head_since = None
        size = len(self.url) + sum(len(name) + len(value) + FIELD_BYTES for name, value in self.headers)
        if size > HEAD_BYTES:
            self._too_long = True
            raise HeadTooLong
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._too_long:
            self._refuse(431)
        else:
            super().send_400_response(msg)

    def overdue(self, before: float) -> bool:
        """Whether a head has been open since before that moment of the monotonic clock."""
        if self.head_since is None and self._forgotten():
            self.head_since = time.monotonic()  # blank lines before a request end uvicorn's own timer
        return self.head_since is not None and self.head_since < before

    def _forgotten(self) -> bool:
        idle = self.cycle is None or self.cycle.response_complete
        return idle and self.timeout_keep_alive_task is None

    def give_up(self) -> None:
        """End a connection whose head takes too long; one that never sent a byte gets no answer."""
        if self._head_bytes and not self.transport.is_closing():
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        name, sentence = SAYS[status]
        body = b'{"error":"%s"}' % sentence.encode()
        head = f"HTTP/1.1 {status} {name}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

"""From a node's bytes to a reply: httptools (llhttp) parses, this decides what its events mean."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bridge.transport.reply import Reply

_BODILESS_STATUS = (204, 304)


class Malformed(Exception):
    """The bytes are no sound reply; the message says why."""


class ReplyParser:
    """Parses the replies of one connection, one after the other.

    `max_head` bounds, in bytes, the headers of a reply and any run of bytes that is neither head nor body
    (trailers, chunk extensions, interim replies): the parser keeps such bytes, so they must end.
    """

    __slots__ = (
        "_at_eof",
        "_barren",
        "_head_size",
        "_headers",
        "_is_head",
        "_max_head",
        "_parser",
        "_reply",
        "complete",
        "heard",
        "reusable",
    )

    def __init__(self, max_head: int) -> None:
        self._parser = HttpResponseParser(self)
        self._max_head = max_head
        self._reply: Reply | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._barren = 0  # bytes since the last progress
        self._is_head = False
        self._at_eof = False
        self.complete = False  # the reply has come to its end
        self.heard = False  # any byte has come
        self.reusable = True  # the next reply may follow on this connection

    def expect(self, reply: Reply, method: bytes) -> None:
        """The next bytes are the reply to a request of that method."""
        self._reply = reply
        self._is_head = method == b"HEAD"
        self._at_eof = False
        self._barren = 0
        self.complete = False
        self.heard = False

    def feed(self, data: bytes) -> None:
        """Hand the bytes to the reply. Raises Malformed."""
        self.heard = True
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # What follows a whole reply cannot spoil it, only the connection.
            self.reusable = False
            if not self.complete:
                raise Malformed(_reason(error)) from None
        if self._barren > self._max_head and not self.complete:
            raise Malformed(f"more than {self._max_head} bytes without a whole head or any body")

    def feed_eof(self) -> bool:
        """The node has closed its side; True when that is how this reply ends."""
        self.reusable = False
        if self._at_eof and not self.complete:
            self._finish()
        return self.complete

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.complete:
            raise Malformed("bytes after the end of the reply")
        self._headers = []
        self._head_size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._max_head:
            raise Malformed(f"headers larger than {self._max_head} bytes")
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:
                raise Malformed(f"status {status} was not asked for")
            return
        self._barren = 0
        self._at_eof = not self._is_head and status not in _BODILESS_STATUS and not _framed(self._headers)
        headers, self._headers = self._headers, []
        if self._reply is not None:
            self._reply.receive_head(status, headers)
        if self._is_head:
            # llhttp cannot be told that no body follows, so nothing more is read on this connection.
            self.reusable = False
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        if self.complete:
            raise Malformed("a body in the reply to HEAD")
        self._barren = 0
        if self._reply is not None:
            self._reply.receive_body(chunk)

    def on_message_complete(self) -> None:
        if self._reply is not None and self._reply.started and not self.complete:
            self.reusable = self.reusable and self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.finish()


def _framed(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the head says where the body ends; otherwise it ends with the connection."""
    for name, value in headers:
        if name == b"content-length":
            return True
        if name == b"transfer-encoding" and value.lower().rstrip().endswith(b"chunked"):
            return True
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, HttpParserUpgrade):
        return "the node switched protocols"
    cause = error.__context__
    return str(cause) if isinstance(cause, Malformed) else str(error)

"""Newline-delimited JSON as a node streams it."""

from __future__ import annotations

LINE_LIMIT = 8 * 2**20  # bytes; official clients read lines up to 8 MB


class LineTooLong(ValueError):
    """A line of the node's stream passes the bound."""


class LineSplitter:
    """Cuts a stream of bytes into lines, wherever the reads fall. Blank lines are dropped."""

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []  # a line that has not ended, kept in pieces: joining once is linear
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their line ends. Raises LineTooLong."""
        if not self._parts and data[-1:] == b"\n" and len(data) <= self._limit and b"\r" not in data:
            return [line for line in data.split(b"\n") if line]  # whole lines, as reads mostly fall
        head, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(data)
            return []
        self._keep(head)
        lines = [b"".join(self._parts), *rest.split(b"\n")]
        self._parts, self._size = [], 0
        self._keep(lines.pop())
        return [line for line in map(self._bounded, lines) if line]

    def close(self) -> bytes:
        """What came after the last line end: empty when the stream ended well."""
        rest = self._bounded(b"".join(self._parts))
        self._parts, self._size = [], 0
        return rest

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit + 1:  # one more: a CR may still be dropped
            self._refuse()
        if data:
            self._parts.append(data)

    def _bounded(self, line: bytes) -> bytes:
        line = line.removesuffix(b"\r")
        if len(line) > self._limit:
            self._refuse()
        return line

    def _refuse(self) -> None:
        raise LineTooLong(f"a line of the node's stream is longer than {self._limit} bytes")


class LastLine:
    """Watches bytes that are relayed untouched, and remembers only what their last line is in."""

    __slots__ = ("_limit", "_parts", "_size", "_tail")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._tail = b""  # the newest bytes that end with a line end
        self._parts: list[bytes] = []  # after them: a line that has not ended yet
        self._size = 0

    def feed(self, data: bytes) -> bool:
        """Whether these bytes ended a line that began in earlier ones. Raises LineTooLong."""
        if data.endswith(b"\n") and not self._parts:
            self._tail = data  # the common case: whole lines; nothing is looked at
            return False
        head, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._keep(data)
            return False
        joined = bool(self._parts)
        self._tail = b"".join([*self._parts, head, newline])
        self._parts, self._size = [], 0
        self._keep(rest)
        return joined

    def line(self) -> bytes:
        """The last line so far, without its line end."""
        whole = b"".join(self._parts) or self._tail
        return whole.rstrip(b"\r\n").rpartition(b"\n")[2]

    @property
    def cut(self) -> bool:
        """The last of the bytes that came was no line end."""
        return bool(self._parts)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit + 2:  # its line end may still come
            raise LineTooLong(f"a line of the node's stream is longer than {self._limit} bytes")
        if data:
            self._parts.append(data)

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
    """Watches bytes that are relayed untouched, and remembers only their last line."""

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Raises LineTooLong."""
        if not data:
            return
        start = data.rfind(b"\n", 0, -1) + 1
        if start or self._ended():
            self._parts, self._size = [], 0
        self._size += len(data) - start
        if self._size > self._limit + 2:  # its line end is kept
            raise LineTooLong(f"a line of the node's stream is longer than {self._limit} bytes")
        self._parts.append(data[start:])

    def line(self) -> bytes:
        """The last line so far, without its line end."""
        return b"".join(self._parts).rstrip(b"\r\n")

    @property
    def cut(self) -> bool:
        """Bytes came, and the last of them was no line end."""
        return bool(self._parts) and not self._ended()

    def _ended(self) -> bool:
        return bool(self._parts) and self._parts[-1].endswith(b"\n")

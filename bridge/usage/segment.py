"""A segment of the outbox that this process appends to: a file of a fixed size, mapped into memory.

A line written into the mapping is in the page cache at once, so it outlives the process like one that went
through write(2), for a hundredth of the cost and without letting go of the interpreter. What is not written
yet reads as NUL; `close` cuts it off, and whoever finds the segment of a killed process leaves it out.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path


class Segment:
    """Raises OSError when the disk has no room for all of it: found out later, that would end the process."""

    def __init__(self, path: Path, size: int) -> None:
        # The lock is taken on a name that no writer looks for: a segment is never seen unlocked while in use.
        hidden = path.with_name(f".{path.name}")
        self._fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _reserve(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
            self.path = hidden.rename(path)
        except OSError:
            os.close(self._fd)
            hidden.unlink(missing_ok=True)
            raise
        self.written = 0
        self.room = size

    def append(self, line: bytes) -> None:
        """The caller has seen that there is room."""
        end = self.written + len(line)
        self._map[self.written : end] = line
        self.written = end
        self.room -= len(line)

    def close(self) -> None:
        """Cut off what was not written, and drop the lock."""
        self._map.close()
        os.ftruncate(self._fd, self.written)
        os.close(self._fd)


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        os.write(fd, bytes(size))

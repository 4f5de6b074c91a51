"""The outbox: usage records on disk before the client sees its answer end, in the database soon after.

A record is one JSON line in a mapped file. The page cache outlives the process, so kill -9 loses nothing; a
power cut may lose the last moments. Each process appends to a segment of its own and holds a lock
on it; the kernel drops the lock with the process, and whoever drains next finds the segment and imports it.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from bridge.usage.segment import Segment

log = logging.getLogger(__name__)

SPARE_LINES = 10_000  # kept in memory while the disk refuses writes; the oldest fall out beyond it
SEGMENT_BYTES = 2**20


class Outbox:
    """Appends records and hands sealed segments to the writer. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._segment: Segment | None = None
        self._spare: deque[bytes] = deque(maxlen=SPARE_LINES)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record. While the disk refuses, lines wait in memory: no request fails for it."""
        line = orjson.dumps(record) + b"\n"
        with self._lock:
            segment = self._segment
            if segment is not None and segment.room >= len(line):
                segment.append(line)
                return
            try:
                self._append_to_new(b"".join([*self._spare, line]))
                self._spare.clear()
            except OSError as error:
                self._spare.append(line)
                log.error("outbox: %s cannot be written (%s); kept in memory", self.directory, error.strerror)

    def seal(self) -> None:
        """Close the current segment, so that the writer can take it."""
        with self._lock:
            self._seal()

    def pending_bytes(self) -> int:
        """Bytes on disk that are not in the database yet."""
        segment = self._segment
        own = segment.path if segment is not None else None
        others = sum(_size(path) for path in self.directory.glob("*.jsonl") if path != own)
        return others + (segment.written if segment is not None else 0)

    @contextmanager
    def claimed(self) -> Iterator[list[Path]]:
        """The segments that nobody appends to, oldest first, locked against other writers meanwhile."""
        fds: list[int] = []
        paths: list[Path] = []
        try:
            for path in sorted(self.directory.glob("*.jsonl")):
                if (fd := _claim(path)) is not None:
                    fds.append(fd)
                    paths.append(path)
            yield paths
        finally:
            for fd in fds:
                os.close(fd)

    def _append_to_new(self, data: bytes) -> None:
        self._seal()
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}.jsonl"
        self._segment = Segment(self.directory / name, max(SEGMENT_BYTES, len(data)))
        self._segment.append(data)

    def _seal(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a segment, without a last line that a crash cut short or one that is no JSON."""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b"\0"):
                return  # the rest of a segment whose process was killed
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                log.warning("outbox: %s has a line that is no record; left out", path.name)
                continue
            if isinstance(record, dict):
                yield record


def _claim(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    if not path.exists():  # another writer imported it between our open and our lock
        os.close(fd)
        return None
    return fd


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

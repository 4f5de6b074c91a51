"""The writer: one thread that carries the outbox into the database, away from the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import DatabaseError, connection

from bridge.models import ApiKey, UsageRecord
from bridge.models.usage import BadLine
from bridge.usage.outbox import Outbox, lines

log = logging.getLogger(__name__)

BATCH = 500
SLICE = 20  # rows between two breaths: about a third of a millisecond of work
BREATH_S = 0.0002
PAUSE_S = 0.5  # between rounds while all is well
PAUSE_MAX_S = 30.0  # between rounds while the database is away


class UsageWriter:
    """Imports sealed segments. A segment is deleted only after its rows are committed, and a row that is
    there already (same request id) is left as it is: so a crash at any point loses and doubles nothing."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage-writer", daemon=True)
        self._failures = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Write what is there and end the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(self._pause()):
            self._round()
        self._round()

    def _pause(self) -> float:
        return min(PAUSE_S * 2.0**self._failures, PAUSE_MAX_S)

    def _round(self) -> None:
        try:
            self.drain()
            self._failures = 0
        except DatabaseError as error:
            self._failures = min(self._failures + 1, 16)
            log.warning("usage: the database is away (%s); records wait in the outbox", error)
        finally:
            connection.close()

    def drain(self) -> int:
        """Import every segment that nobody appends to; how many records those were."""
        self.outbox.seal()
        count = 0
        with self.outbox.claimed() as paths:
            for path in paths:
                rows = filter(None, map(_row, _gently(lines(path))))
                for batch in _batches(rows, BATCH):
                    _import(batch)
                    count += len(batch)
                path.unlink()
        return count


def _import(rows: list[dict[str, Any]]) -> None:
    UsageRecord.objects.insert_new(rows)
    used = [row for row in rows if row["key"] and row["outcome"] != "refused"]
    if used:
        ApiKey.objects.touch({row["key"] for row in used}, max(row["at"] for row in used))


def _row(line: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return UsageRecord.columns_of(line)
    except BadLine as error:
        log.error("outbox: a line is left out: %s", error)
        return None


def _gently(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The items, with a breath after every few: the event loop needs the interpreter that this thread holds,
    and without a gap each of its wakings would wait for a whole switch interval."""
    for number, item in enumerate(items, 1):
        yield item
        if number % SLICE == 0:
            time.sleep(BREATH_S)


def _batches(items: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

"""What the worker writes down: ledger, measurements, node states, outcomes. Nothing waits for the writing.

While the database is away the newest records are kept in memory, up to a bound, and written when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import DatabaseError, InterfaceError, connections

from scheduler import metrics
from scheduler.models import LedgerEntry, Measurement, Node, OperatorRequest
from scheduler.policy.state import Footprint

log = logging.getLogger(__name__)

KEPT = 2000  # records that wait at most; the oldest are given up first
RETRY_S = (0.2, 5.0)  # pause after a write that failed: first, and at most


def moment() -> datetime:
    return datetime.now(UTC)


class Record(Protocol):
    """Something to write down."""

    def write(self) -> None:
        """Runs in the thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the ledger."""

    kind: str  # LedgerEntry.Kind
    node: str = ""
    model: str = ""
    cause: str = ""
    key: str = ""
    seconds: float | None = None
    saved_s: float | None = None  # of waiting; below 0: cost
    bytes: int | None = None
    outcome: str = "ok"
    reason: str = ""
    at: datetime = field(default_factory=moment)

    def write(self) -> None:
        LedgerEntry.objects.record(
            self.kind,
            node=self.node,
            model=self.model,
            cause=self.cause[:32],
            key=self.key[:64],
            seconds=self.seconds,
            saved_s=self.saved_s,
            bytes=self.bytes,
            outcome=self.outcome,
            reason=self.reason,
            at=self.at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The outcome of a prefetch or a warm whose entry is open; nothing where it is not."""

    kind: str  # LedgerEntry.Kind
    node: str
    model: str
    outcome: str
    saved_s: float
    cause: str = ""  # of the entry; empty: any

    def write(self) -> None:
        facts = {"cause": self.cause} if self.cause else {}
        entry = LedgerEntry.objects.latest_open(self.kind, node=self.node, model=self.model, **facts)
        if entry is not None:
            entry.settle(self.outcome, saved_s=round(self.saved_s, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """What a load really took."""

    node: str
    footprint: Footprint
    size_bytes: int
    size_vram: int
    load_s: float | None

    def write(self) -> None:
        Measurement.objects.learn(
            node=self.node,
            digest=self.footprint.digest,
            num_ctx=self.footprint.num_ctx,
            slots=self.footprint.slots,
            kv_type=self.footprint.kv_type,
            size_bytes=self.size_bytes,
            size_vram=self.size_vram,
            load_s=self.load_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    node: str
    version: str
    at: datetime = field(default_factory=moment)

    def write(self) -> None:
        for node in Node.objects.filter(name=self.node):
            node.saw(version=self.version, at=self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMissed:
    node: str
    error: str

    def write(self) -> None:
        for node in Node.objects.filter(name=self.node):
            node.missed(self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBecame:
    node: str
    state: str  # Node.State
    reason: str

    def write(self) -> None:
        for node in Node.objects.filter(name=self.node):
            node.become(self.state, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShows:
    """What is resident on the node and what is done there, for pages."""

    node: str
    scene: Mapping[str, Any]
    at: datetime = field(default_factory=moment)

    def write(self) -> None:
        for node in Node.objects.filter(name=self.node):
            node.show(self.scene, self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpeed:
    node: str
    gbps: float

    def write(self) -> None:
        for node in Node.objects.filter(name=self.node):
            node.load_gbps = self.gbps
            node.save(update_fields=["load_gbps"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The outcome of what an operator asked for."""

    request: int
    state: str  # done or refused
    outcome: str

    def write(self) -> None:
        for request in OperatorRequest.objects.filter(pk=self.request):
            request.finish(self.state, self.outcome)


class Recorder(Protocol):
    """Takes records and gives the control back at once."""

    def start(self) -> None: ...

    def put(self, record: Record) -> None: ...

    def stop(self, timeout_s: float = 2.0) -> None: ...


class DatabaseRecorder:
    """Writes records in order, from a thread of its own."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._waiting: deque[Record] = deque()
        self._kept = kept
        self._turn = threading.Condition()
        self._writing = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.lost = 0  # records given up since the start

    def put(self, record: Record) -> None:
        """Take a record; the oldest one goes when too many wait."""
        if isinstance(record, Entry):
            metrics.count(record)
        elif isinstance(record, Settled):
            metrics.settled(record)
        with self._turn:
            if len(self._waiting) >= self._kept:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(record)
            self._turn.notify_all()

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduler-records", daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Block until everything put so far is written; False when the time is over first."""
        with self._turn:
            return self._turn.wait_for(lambda: not self._waiting and not self._writing, timeout_s)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, as far as the time goes, and end the thread."""
        self.flush(timeout_s)
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def _run(self) -> None:
        pause = RETRY_S[0]
        while (record := self._next()) is not None:
            if self._write(record):
                pause = RETRY_S[0]
                continue
            self._put_back(record)
            with self._turn:
                self._turn.wait_for(lambda: self._stopping, pause)
            pause = min(pause * 2, RETRY_S[1])
        connections.close_all()

    def _next(self) -> Record | None:
        with self._turn:
            self._turn.wait_for(lambda: bool(self._waiting) or self._stopping)
            if self._stopping:
                return None
            self._writing = True
            return self._waiting.popleft()

    def _put_back(self, record: Record) -> None:
        with self._turn:
            if len(self._waiting) < self._kept:
                self._waiting.appendleft(record)
            else:
                self.lost += 1

    def _write(self, record: Record) -> bool:
        """False when the database is away and the record should be tried again."""
        try:
            record.write()
        except (DatabaseError, InterfaceError) as error:
            log.warning("The database does not take records; they wait: %s", error)
            connections.close_all()
            return False
        except Exception:  # a record that cannot be written must not hold up those behind it
            log.exception("A record could not be written and is given up: %r", record)
        finally:
            with self._turn:
                self._writing = False
                self._turn.notify_all()
        return True


class Throttle:
    """Lets a key through at most once in `every_s`."""

    def __init__(self, every_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._last: dict[str, float] = {}

    def lets(self, key: str) -> bool:
        now = self._clock()
        if now - self._last.get(key, float("-inf")) < self._every_s:
            return False
        self._last[key] = now
        return True

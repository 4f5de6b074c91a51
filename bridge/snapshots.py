"""Snapshots of rows, held in the process for the hot path, and replaced when their revision number moves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connections

log = logging.getLogger(__name__)

T = TypeVar("T")


class NotLoaded(RuntimeError):
    """The snapshot was never read: the database was not there yet."""


class Keeper(Generic[T]):
    """Polls `revision` from one thread, and swaps the snapshot for a fresh `load()` when the number moved.

    Readers take `value`: no lock, no query. When the database is away the last snapshot stays in use.
    """

    def __init__(
        self,
        name: str,
        *,
        load: Callable[[], T],
        revision: Callable[[], int],
        interval_s: float = 0.4,
        on_change: Callable[[T], None] | None = None,
    ) -> None:
        """`on_change` gets each new snapshot, in the thread that read it."""
        self.name = name
        self._on_change = on_change
        self._load = load
        self._revision = revision
        self._interval_s = interval_s
        self._held: tuple[T] | None = None
        self._number: int | None = None
        self._refreshing = threading.Lock()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False
        self._checked_at: float | None = None

    @property
    def value(self) -> T:
        """The snapshot now in use. Raises NotLoaded before the first."""
        if self._held is None:
            raise NotLoaded(f"The {self.name} snapshot is not read yet: is the database reachable?")
        return self._held[0]

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot was last known to be current; None before the first."""
        return None if self._checked_at is None else time.monotonic() - self._checked_at

    def refresh(self) -> bool:
        """Check now, in the caller's thread; whether the snapshot was replaced. Raises what `load` raises."""
        with self._refreshing:
            # The number is read before the rows: a write in between shows as a newer number next time.
            number = self._revision()
            moved = self._held is None or number != self._number
            if moved:
                snapshot = self._load()
                self._held, self._number = (snapshot,), number
                if self._on_change is not None:
                    self._on_change(snapshot)
            self._checked_at = time.monotonic()
        self._ready.set()
        return moved

    def start(self) -> None:
        """Begin to poll. A second call does nothing."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name=f"keeper-{self.name}", daemon=True)
            self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Block until the first snapshot is there; False when the time is over first."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._poll()
            self._stopping.wait(self._interval_s)
        connections.close_all()

    def _poll(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # whatever a poll meets, the next one must happen
            if not self._failing:
                log.warning("The %s snapshot cannot be read, the last one stays: %s", self.name, error)
            self._failing = True
            connections.close_all()
            return
        if self._failing:
            log.info("The %s snapshot is current again.", self.name)
        self._failing = False
        self._let_go()

    @staticmethod
    def _let_go() -> None:
        """A pooled connection goes back between polls. SQLite's stays: closing it would checkpoint."""
        for connection in connections.all(initialized_only=True):
            if connection.vendor != "sqlite":
                connection.close()

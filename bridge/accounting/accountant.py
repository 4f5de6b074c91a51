"""The accountant: one thread that keeps sums, costs and the tables' size, away from the event loop."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from bridge.accounting import costs, pruning, sums

log = logging.getLogger(__name__)

ROUND_S = 2.0  # between looks for new records
COSTS_S = 10.0  # between workings out of the running hour, where that is quick
SHARE = 0.05  # of a core, at most, for that
PRUNE_S = 3600.0
PAUSE_MOST_S = 60.0  # while the database is away
HOURS_AT_ONCE = 24  # worked out before the sums are looked at again


class Accountant:
    """`round` does what is due; the thread calls it for ever."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accountant", daemon=True)
        self._failures = 0
        self._costs_at = float("-inf")
        self._costs_every_s = COSTS_S
        self._prune_at = time.monotonic() + PRUNE_S / 10  # not while the server starts

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(min(ROUND_S * 2.0**self._failures, PAUSE_MOST_S)):
            try:
                self.round()
                self._failures = 0
            except (DatabaseError, InterfaceError) as error:
                self._failures = min(self._failures + 1, 8)
                log.warning("accounting: the database is away (%s); sums are made up for later", error)
            except Exception:  # a fault here must cost reports their freshness, and nobody their answers
                self._failures = min(self._failures + 1, 8)
                log.exception("accounting: this round is left out")
            finally:
                connection.close()

    def round(self) -> None:
        """Sums first: costs are worked out from them."""
        sums.roll()
        now = time.monotonic()
        if now - self._costs_at >= self._costs_every_s:
            self._costs_at = now
            work_out_due(HOURS_AT_ONCE, self._stop)
            took_s = time.monotonic() - now
            self._costs_every_s = max(COSTS_S, took_s / SHARE)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            pruning.prune(timezone.now())


def work_out_due(most: int, stop: threading.Event | None = None) -> int:
    """Work out the hours that are due, the newest first; how many were done."""
    now, done = timezone.now(), 0
    for hour in costs.due(now)[:most]:
        if stop is not None and stop.is_set():
            break
        done += costs.work_out(hour, now)
    return done

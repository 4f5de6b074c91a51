"""Keeps the snapshot of the keys fresh: one thread polls one tiny row and reloads when it moved."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_network

from django.conf import settings
from django.db import connection

from bridge.auth import EMPTY, KeyRing
from bridge.grants import Grant, compiled
from bridge.keyformat import pepper_version
from bridge.models import ApiKey, Revision
from bridge.periods import FOREVER, Period

logger = logging.getLogger(__name__)

TOPIC = "keys"
POLL_S = 0.4  # with the reload, a revocation is seen by every process in under a second
PERIODS: tuple[Period, ...] = ("day", "month", "total")


def load() -> KeyRing:
    """All keys, from the database. The revision is read first: a write in between is loaded once more."""
    revision = Revision.objects.of(TOPIC)
    peppers = [settings.KEY_PEPPER, *settings.OLD_KEY_PEPPERS]
    grants = (_readable(row) for row in ApiKey.objects.order_by("pk").iterator(2000))
    return KeyRing(
        grants={grant.id: grant for grant in grants if grant is not None},
        peppers={pepper_version(pepper): pepper.encode() for pepper in peppers},
        revision=revision,
    )


def _readable(row: ApiKey) -> Grant | None:
    """A row that was spoiled past the model's own checks is left out: it must not keep the others from us."""
    try:
        return grant_of(row)
    except (ValueError, TypeError) as error:
        logger.error("The key %s is left out, its row cannot be read: %s", row.public_id, error)
        return None


def grant_of(row: ApiKey) -> Grant:
    budgets = ((period, getattr(row, f"budget_tokens_{period}")) for period in PERIODS)
    return Grant(
        id=row.public_id,
        account=row.account,
        name=row.name,
        team=row.team,
        priority=row.priority,
        digest=bytes.fromhex(row.digest),
        pepper=row.pepper,
        scopes=frozenset(row.scopes),
        models=compiled(row.allowed_models),
        networks=tuple(ip_network(text) for text in row.allowed_cidrs),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        parallel=row.parallel,
        budgets=tuple((period, tokens) for period, tokens in budgets if tokens is not None),
        expires_at=_unix(row.expires_at),
        revoked_at=_unix(row.revoked_at),
        grace_ends_at=_unix(row.grace_ends_at),
    )


def _unix(moment: datetime | None) -> float:
    return FOREVER if moment is None else float(moment.timestamp())


class KeyRingWatch:
    """Holds the newest snapshot in `current`; readers of any thread or task just read the attribute.

    When the database is down the last good snapshot stays."""

    def __init__(self, on_change: Callable[[KeyRing], None] | None = None, poll_s: float = POLL_S) -> None:
        self.current: KeyRing = EMPTY
        self.seen_at = 0.0  # time.monotonic() of the last look into the database that succeeded
        self._on_change = on_change
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def refresh(self) -> bool:
        """Look once, and reload if a key was written; whether it was. Raises the database's errors."""
        moved = not self.current.loaded or Revision.objects.of(TOPIC) != self.current.revision
        if moved:
            self.current = load()
            if self._on_change is not None:
                self._on_change(self.current)
        self.seen_at = time.monotonic()
        return moved

    def start(self) -> None:
        """Poll on a thread of its own until `stop`. The first look is the thread's too."""
        if self._thread is not None:
            raise RuntimeError("This watch was started before.")
        self._thread = threading.Thread(target=self._run, name="keyring", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._look()
                self._stop.wait(self._poll_s)
        finally:
            connection.close()

    def _look(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # whatever it is: a dead watch would leave revoked keys in force
            if not self._failing:
                logger.warning("Keys cannot be read (%s); the last ones read stay in force.", error)
            self._failing = True
            connection.close()  # the next look opens a new one
        else:
            if self._failing:
                logger.info("Keys can be read again.")
            self._failing = False

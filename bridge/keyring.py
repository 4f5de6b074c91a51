"""The snapshot of the keys, read from the database and kept fresh."""

from __future__ import annotations

import logging
from datetime import datetime
from ipaddress import ip_network

from django.conf import settings

from bridge.auth import EMPTY, KeyRing, by_certificate
from bridge.grants import Grant, compiled
from bridge.keyformat import pepper_version
from bridge.models import KEYS, ApiKey
from bridge.periods import FOREVER, Period
from bridge.snapshots import Keeper, NotLoaded
from scheduler.models import Revision

logger = logging.getLogger(__name__)

POLL_S = 0.4  # with the reload, a revocation is seen by every process in under a second
PERIODS: tuple[Period, ...] = ("day", "month", "total")


def load() -> KeyRing:
    """All keys, from the database, in one query."""
    peppers = [settings.KEY_PEPPER, *settings.OLD_KEY_PEPPERS]
    rows = (_readable(row) for row in ApiKey.objects.order_by("pk").iterator(2000))
    grants = {grant.id: grant for grant in rows if grant is not None}
    return KeyRing(
        grants=grants,
        certified=by_certificate(grants.values()),
        peppers={pepper_version(pepper): pepper.encode() for pepper in peppers},
    )


def revision() -> int:
    return Revision.objects.number(KEYS)


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
        certificate=row.certificate,
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


class KeyRingKeeper(Keeper[KeyRing]):
    """Keeps this process's keys fresh; `current` is what a request asks."""

    def __init__(self, interval_s: float = POLL_S) -> None:
        super().__init__("keys", load=load, revision=revision, interval_s=interval_s)

    @property
    def current(self) -> KeyRing:
        """The newest snapshot; before the first one, a ring that answers 503 to everybody."""
        try:
            return self.value
        except NotLoaded:
            return EMPTY

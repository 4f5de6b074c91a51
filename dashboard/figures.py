"""Today's figures for the start page, and one key's for its own page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet, Sum

from bridge.models import Outcome, UsageRecord

KEPT_S = 15  # seconds that figures over a busy day are kept before they are added up again


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a set of usage records adds up to."""

    requests: int
    answered: int
    refused: int
    cancelled: int
    failed: int
    prompt_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


def since(start: datetime, *, key: str | None = None) -> Usage:
    """All records since a moment, of one key (public id) or of all; at most KEPT_S seconds old."""
    name = f"dashboard.usage.{start:%Y%m%d%H%M}.{key or ''}"
    kept: Usage | None = cache.get(name)
    if kept is None:
        records = UsageRecord.objects.filter(at__gte=start)
        kept = usage_of(records if key is None else records.filter(key=key))
        cache.set(name, kept, KEPT_S)
    return kept


def usage_of(records: QuerySet[UsageRecord]) -> Usage:
    by_outcome = {outcome.value: Count("id", filter=Q(outcome=outcome)) for outcome in Outcome}
    tokens = {name: Sum(name, default=0) for name in ("prompt_tokens", "output_tokens")}
    return Usage(**records.aggregate(requests=Count("id"), **by_outcome, **tokens))


def refusals(start: datetime, most: int = 5) -> list[dict[str, Any]]:
    """The commonest reasons of refusals since a moment: reason and count."""
    name = f"dashboard.refusals.{start:%Y%m%d%H%M}"
    kept: list[dict[str, Any]] | None = cache.get(name)
    if kept is None:
        refused = UsageRecord.objects.filter(at__gte=start, outcome=Outcome.REFUSED)
        counted = refused.values("reason").annotate(count=Count("id")).order_by("-count", "reason")
        kept = [dict(row) for row in counted[:most]]
        cache.set(name, kept, KEPT_S)
    return kept


def midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def a_day_before(now: datetime) -> datetime:
    """A day ago, to the minute, so that a page looked at again finds its figures kept."""
    return now.replace(second=0, microsecond=0) - timedelta(days=1)

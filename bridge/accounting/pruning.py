"""What is kept for how long. Records go only once they are in the sums; the sums of days never go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from bridge.accounting.retention import kept_since
from bridge.accounting.sums import USAGE
from bridge.models import (
    CostHour,
    CostRollup,
    Mark,
    ModelGaps,
    RefusalRollup,
    UsageRecord,
    UsageRollup,
    VramRollup,
)
from bridge.models.rollups import HOUR
from scheduler.models import LedgerEntry, NodeSample

AT_ONCE = 5000  # rows deleted in one transaction: other writers wait so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rows of a table that are too old."""

    name: str  # for people
    days: int  # 0: for ever
    rows: Callable[[datetime], QuerySet[Any]]  # those that came before a moment


def rules() -> list[Rule]:
    return [
        Rule(name="usage records", days=settings.KEEP_USAGE_DAYS, rows=_records),
        Rule(name="hourly sums", days=settings.KEEP_USAGE_DAYS, rows=_hourly(UsageRollup)),
        Rule(name="hourly refusals", days=settings.KEEP_USAGE_DAYS, rows=_hourly(RefusalRollup)),
        Rule(name="hourly costs", days=settings.KEEP_USAGE_DAYS, rows=_hourly(CostRollup)),
        Rule(name="hourly VRAM", days=settings.KEEP_USAGE_DAYS, rows=_hourly(VramRollup)),
        Rule(name="hours", days=settings.KEEP_USAGE_DAYS, rows=_begun(CostHour)),
        Rule(name="gaps of models", days=settings.KEEP_USAGE_DAYS, rows=_begun(ModelGaps)),
        Rule(name="VRAM samples", days=settings.KEEP_SAMPLES_DAYS, rows=_samples),
        Rule(name="ledger entries", days=settings.KEEP_LEDGER_DAYS, rows=_entries),
    ]


def prune(now: datetime | None = None, *, dry_run: bool = False) -> dict[str, int]:
    """Delete what is too old, whole days at a time; by name, how many rows that were (or would be)."""
    now, done = now or timezone.now(), {}
    for rule in rules():
        if rule.days:
            rows = rule.rows(kept_since(now, rule.days))
            done[rule.name] = rows.count() if dry_run else _delete(rows)
    return done


def _delete(rows: QuerySet[Any]) -> int:
    """In small steps."""
    count = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        rows.model._default_manager.filter(pk__in=ids).delete()
        count += len(ids)
    return count


def _records(before: datetime) -> QuerySet[UsageRecord]:
    """Only those that are in the sums."""
    position = Mark.objects.filter(name=USAGE).values_list("position", flat=True).first() or 0
    return UsageRecord.objects.filter(at__lt=before, id__lte=position)


def _hourly(table: Any) -> Callable[[datetime], QuerySet[Any]]:
    return lambda before: table._default_manager.filter(span=HOUR, start__lt=before)


def _begun(table: Any) -> Callable[[datetime], QuerySet[Any]]:
    return lambda before: table._default_manager.filter(start__lt=before)


def _samples(before: datetime) -> QuerySet[NodeSample]:
    return NodeSample.objects.filter(at__lt=before)


def _entries(before: datetime) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(at__lt=before)

"""Figures that only the database knows: the balance of prefetches, and keys that end.."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

from django.db import DatabaseError
from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from bridge.metrics import PREFIX
from bridge.models import ApiKey
from scheduler.models import LedgerEntry

KEPT_S = 30.0  # figures are asked of the database no more often
KINDS = (LedgerEntry.Kind.PREFETCH, LedgerEntry.Kind.SHADOW)
DAY = timedelta(days=1)
SOON = timedelta(days=14)

PREFETCHES = (f"{PREFIX}_prefetches", "Prefetches of the last 24 hours, by what came of them.")
BALANCE = (
    f"{PREFIX}_prefetch_balance_seconds",
    "Seconds of waiting that prefetches of the last 24 hours saved, less those that they cost.",
)
SHADOW = (
    f"{PREFIX}_prefetch_shadow_balance_seconds",
    "The same for prefetches that were only thought of, in shadow mode.",
)
EXPIRING = (f"{PREFIX}_keys_expiring", "Keys that end by themselves within 14 days and have no successor.")


class RowGauges:
    """A collector. While the database is away it shows nothing; the process's own figures go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: list[Metric] = []
        self._at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._at >= KEPT_S:
                self._read, self._at = read(), time.monotonic()
            yield from self._read


def describe() -> list[Metric]:
    """The families without figures."""
    return [
        GaugeMetricFamily(*PREFETCHES, labels=["outcome"]),
        GaugeMetricFamily(*BALANCE),
        GaugeMetricFamily(*SHADOW),
        GaugeMetricFamily(*EXPIRING),
    ]


def read() -> list[Metric]:
    """The families with the figures of now; none while the database is away."""
    now = timezone.now()
    since = LedgerEntry.objects.filter(kind__in=KINDS, at__gte=now - DAY).order_by()
    try:
        ended = list(since.values_list("kind", "outcome").annotate(count=Count("id"), saved_s=Sum("saved_s")))
        expiring = ApiKey.objects.expiring(now, SOON).count()
    except DatabaseError:
        return []
    prefetches = GaugeMetricFamily(*PREFETCHES, labels=["outcome"])
    saved = dict.fromkeys(KINDS, 0.0)
    for kind, outcome, count, saved_s in ended:
        saved[kind] += saved_s or 0.0
        if kind == LedgerEntry.Kind.PREFETCH:
            prefetches.add_metric([outcome or "open"], count)
    return [
        prefetches,
        GaugeMetricFamily(*BALANCE, value=saved[LedgerEntry.Kind.PREFETCH]),
        GaugeMetricFamily(*SHADOW, value=saved[LedgerEntry.Kind.SHADOW]),
        GaugeMetricFamily(*EXPIRING, value=expiring),
    ]


ROWS = RowGauges()

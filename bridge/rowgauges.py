"""Figures that only the database knows: the balance of prefetches, what GPUs cost, and keys that end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from bridge.metrics import PREFIX
from bridge.models import ApiKey, CostRollup
from bridge.models.rollups import HOUR
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
COST = (
    f"{PREFIX}_cost",
    "What GPUs cost in the last 24 hours that were worked out, in BRIDGE_CURRENCY, by what they did.",
)
GPU_SECONDS = (
    f"{PREFIX}_gpu_seconds",
    "GPU-seconds of the last 24 hours that were worked out, by what they were spent on.",
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
        GaugeMetricFamily(*COST, labels=["node", "part"]),
        GaugeMetricFamily(*GPU_SECONDS, labels=["node", "part"]),
        GaugeMetricFamily(*EXPIRING),
    ]


def read() -> list[Metric]:
    """The families with the figures of now; none while the database is away."""
    now = timezone.now()
    since = LedgerEntry.objects.filter(kind__in=KINDS, at__gte=now - DAY).order_by()
    try:
        ended = list(since.values_list("kind", "outcome").annotate(count=Count("id"), saved_s=Sum("saved_s")))
        spent = list(_spent(now))
        expiring = ApiKey.objects.expiring(now, SOON).count()
    except DatabaseError:
        return []
    prefetches = GaugeMetricFamily(*PREFETCHES, labels=["outcome"])
    saved = dict.fromkeys(KINDS, 0.0)
    for kind, outcome, count, saved_s in ended:
        saved[kind] += saved_s or 0.0
        if kind == LedgerEntry.Kind.PREFETCH:
            prefetches.add_metric([outcome or "open"], count)
    cost = GaugeMetricFamily(*COST, labels=["node", "part"])
    gpu_seconds = GaugeMetricFamily(*GPU_SECONDS, labels=["node", "part"])
    for node, part, micros, gpu_us in spent:
        cost.add_metric([node, part], micros / 1e6)
        gpu_seconds.add_metric([node, part], gpu_us / 1e6)
    return [
        prefetches,
        GaugeMetricFamily(*BALANCE, value=saved[LedgerEntry.Kind.PREFETCH]),
        GaugeMetricFamily(*SHADOW, value=saved[LedgerEntry.Kind.SHADOW]),
        cost,
        gpu_seconds,
        GaugeMetricFamily(*EXPIRING, value=expiring),
    ]


def _spent(now: datetime) -> Iterable[tuple[str, str, int, int]]:
    """Node, part, millionths of money, GPU-microseconds."""
    hours = CostRollup.objects.filter(span=HOUR, start__gte=now - DAY).order_by()
    return hours.values_list("node", "part").annotate(Sum("micros"), Sum("gpu_us"))


ROWS = RowGauges()

"""What the scheduler counts of its decisions, and the state of the fleet once a second.

Counters follow the ledger: each entry is counted when it is written down. The gauges are the leader's picture
of the fleet, shown by that one process; where it no longer leads, or stands still, they are not shown at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from scheduler.residency.picture import GAUGES, PREFIX, Picture

if TYPE_CHECKING:
    from scheduler.residency.records import Entry, Settled

# Else each counter has a second series with its birth, which nothing here reads. It holds for all metrics.
disable_created_metrics()

MOST_MODELS = 500
STALE_S = 15.0  # an older picture is of a scheduler that stands still
LOAD_S = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)

LOADS = Counter(
    f"{PREFIX}_loads_total",
    "Loads that ended, by what caused them and what came of them.",
    ["node", "model", "cause", "outcome"],
)
LOAD_DURATION = Histogram(
    f"{PREFIX}_load_duration_seconds",
    "From the call to the node to the confirmation in its /api/ps, for loads that succeeded.",
    ["node", "model"],
    buckets=LOAD_S,
)
EVICTIONS = Counter(
    f"{PREFIX}_evictions_total",
    "Residents that left, by cause; node and foreign were not the bridge's doing.",
    ["node", "model", "cause", "outcome"],
)
RELOADS = Counter(
    f"{PREFIX}_reloads_total",
    "Residents loaded anew with another profile; foreign means that someone else did it.",
    ["node", "model", "cause"],
)
REFUSED_LINES = Counter(
    f"{PREFIX}_lines_refused_total", "Times the scheduler turned a whole line away.", ["model", "reason"]
)
QUARANTINES = Counter(
    f"{PREFIX}_quarantines_total", "Times a node was put in quarantine because a load hung.", ["node"]
)
PREFETCHES_ENDED = Counter(
    f"{PREFIX}_prefetches_ended_total",
    "Prefetches that came to their end, by what came of them; mode shadow: only thought of.",
    ["node", "model", "mode", "outcome"],
)
WARMS_ENDED = Counter(
    f"{PREFIX}_warms_ended_total",
    "Prefixes that were replayed, by whether a request found them in the KV cache.",
    ["node", "model", "outcome"],
)
WARM_SAVED = Counter(
    f"{PREFIX}_warm_saved_seconds_total", "Prompt reading that warmed prefixes saved.", ["node", "model"]
)

_models: set[str] = set()


def known(model: str) -> str:
    """The label of a model. Nodes may be made to load any name, which must not make series without end."""
    if model in _models or len(_models) < MOST_MODELS:
        _models.add(model)
        return model
    return "other"


def count(entry: Entry) -> None:
    """Count a line of the ledger."""
    node, model, cause = entry.node, known(entry.model), entry.cause
    if entry.kind in ("load", "prefetch", "reload") and cause not in ("found", "foreign"):
        LOADS.labels(node, model, cause, entry.outcome or "ok").inc()
        if entry.seconds is not None and entry.outcome in ("ok", "spilled", ""):
            LOAD_DURATION.labels(node, model).observe(entry.seconds)
    if entry.kind == "reload":
        RELOADS.labels(node, model, cause).inc()
    elif entry.kind == "evict":
        EVICTIONS.labels(node, model, cause or "unknown", entry.outcome).inc()
    elif entry.kind == "refuse":
        REFUSED_LINES.labels(model, cause).inc()
    elif entry.kind == "quarantine":
        QUARANTINES.labels(node).inc()
    elif entry.kind == "shadow":
        PREFETCHES_ENDED.labels(node, model, "shadow", entry.outcome).inc()
    elif entry.kind == "prefetch" and cause == "preempted":
        PREFETCHES_ENDED.labels(node, model, "live", entry.outcome).inc()


def settled(record: Settled) -> None:
    """Count how an open entry ended."""
    node, model = record.node, known(record.model)
    if record.kind == "prefetch":
        PREFETCHES_ENDED.labels(node, model, "live", record.outcome).inc()
    elif record.kind == "warm":
        WARMS_ENDED.labels(node, model, record.outcome).inc()
        WARM_SAVED.labels(node, model).inc(max(record.saved_s, 0.0))


class FleetGauges:
    """A collector of the newest picture. `show` belongs to the event loop, `collect` to any thread."""

    def __init__(self) -> None:
        self._picture: Picture | None = None
        self._at = 0.0

    def due(self) -> bool:
        """Whether the picture is a second old."""
        return time.monotonic() - self._at >= 1.0

    def show(self, picture: Picture | None) -> None:
        """Show this from now on; None when this process leads no more."""
        self._picture, self._at = picture, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        picture = self._picture
        fresh = picture is not None and time.monotonic() - self._at < STALE_S
        yield _family("leader", [((), 1.0 if fresh else 0.0)])
        if picture is None or not fresh:
            return
        for name, samples in picture.items():
            yield _family(name, samples)

    def describe(self) -> Iterable[Metric]:
        """Every family without figures."""
        return [_family(name, []) for name in GAUGES]


def _family(name: str, samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    gauge = GAUGES[name]
    family = GaugeMetricFamily(f"{PREFIX}_{name}", gauge.help, labels=gauge.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


FLEET = FleetGauges()


def serve(host: str, port: int) -> None:
    """The page of a scheduler in a process of its own, from a thread, until the process ends. It asks for no
    token: what may reach it is for the network to say."""
    registry = CollectorRegistry()
    for collector in (REGISTRY, FLEET):
        registry.register(collector)
    start_http_server(port, host, registry)

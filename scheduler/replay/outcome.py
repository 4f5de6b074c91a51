"""What a replay measured, and the figures that are reported of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from statistics import median

from scheduler.replay.trace import Trace


@dataclass(slots=True)
class Span:
    """One stay of a model on a node, in seconds of the trace."""

    node: str
    model: str
    load_from: float
    ready: float
    prefetched: bool
    gone: float = math.inf


@dataclass(slots=True)
class Timeline:
    """What was where when, and which request was served by what."""

    spans: list[Span] = field(default_factory=list)
    served: list[tuple[int, int]] = field(default_factory=list)  # request, span
    here: dict[tuple[str, str], int] = field(default_factory=dict)  # (node, model): its span now

    def load(self, node: str, model: str, at: float, ready: float, *, prefetched: bool) -> None:
        self.here[node, model] = len(self.spans)
        self.spans.append(Span(node, model, at, ready, prefetched))

    def gone(self, node: str, model: str, at: float) -> None:
        self.spans[self.here.pop((node, model))].gone = at

    def start(self, request: int, node: str, model: str) -> None:
        self.served.append((request, self.here[node, model]))


@dataclass(slots=True, kw_only=True)
class Record:
    """Filled while a trace is replayed: per request, in the order of the trace, and in all."""

    waits: list[float]  # seconds from arrival to start
    services: list[float]  # seconds from start to end
    cold: bytearray  # 1: no resident accepted requests for the model at arrival
    loads: int = 0
    prefetches: int = 0
    wasted: int = 0  # prefetched, and evicted or left unused
    path_s: float = 0.0  # seconds of loads that requests waited through
    timeline: Timeline | None = None  # kept only where a picture is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The figures of one policy on one trace; seconds and shares."""

    policy: str
    requests: int
    cold_share: float
    wait_mean_s: float
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_max_s: float
    loads: int
    prefetches: int
    wasted: int
    jain: float
    load_path_s: float = 0.0

    def as_json(self) -> dict[str, object]:
        """The fields that `manage.py replay --json` promises."""
        return {
            k: round(v, 6) if isinstance(v, float) else v
            for k, v in asdict(self).items()
            if k != "load_path_s"
        }


def outcome(policy: str, trace: Trace, record: Record) -> Outcome:
    ordered = sorted(record.waits)
    count = len(ordered)
    return Outcome(
        policy=policy,
        requests=count,
        cold_share=sum(record.cold) / count,
        wait_mean_s=math.fsum(ordered) / count,
        wait_p50_s=quantile(ordered, 0.50),
        wait_p95_s=quantile(ordered, 0.95),
        wait_p99_s=quantile(ordered, 0.99),
        wait_max_s=ordered[-1],
        loads=record.loads,
        prefetches=record.prefetches,
        wasted=record.wasted,
        jain=fairness(trace.keys, record.waits, record.services),
        load_path_s=record.path_s,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of values in ascending order."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def fairness(keys: list[int], waits: list[float], services: list[float]) -> float:
    """Jain's index over keys of the share of its time that a key's requests were served rather than waiting.

    1: all keys fare alike; 1/n: one key of n has everything.
    """
    served: dict[int, float] = {}
    spent: dict[int, float] = {}
    for key, wait, service in zip(keys, waits, services, strict=True):
        served[key] = served.get(key, 0.0) + service
        spent[key] = spent.get(key, 0.0) + service + wait
    shares = [served[k] / spent[k] for k in served if spent[k] > 0]
    squares = math.fsum(x * x for x in shares)
    return math.fsum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def middle(outcomes: list[Outcome]) -> Outcome:
    """The median of each figure over several runs of one policy."""
    values: dict[str, object] = {"policy": outcomes[0].policy}
    for f in fields(Outcome):
        if f.name != "policy":
            mid = median(getattr(o, f.name) for o in outcomes)
            values[f.name] = int(mid) if f.name in ("requests", "loads", "prefetches", "wasted") else mid
    return Outcome(**values)  # type: ignore[arg-type]

"""What a fleet would have done with a trace: one replay, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scheduler.planning.fleet import HOURS_A_MONTH, Fleet
from scheduler.policy.state import Pin
from scheduler.replay import policies
from scheduler.replay.fleet import Timing
from scheduler.replay.outcome import Record, outcome, quantile
from scheduler.replay.policies import Setting
from scheduler.replay.trace import Trace

DAY_S = 86_400.0
LEAST_A_DAY = 100  # requests
FIGURES = ("wait_p50_s", "wait_p95_s", "wait_p99_s", "ttft_p50_s", "ttft_p95_s", "ttft_p99_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A fleet under a policy."""

    fleet: Fleet
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Figures of one candidate; seconds, shares, US dollars."""

    candidate: Candidate
    cold_share: float
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    ttft_p50_s: float  # wait and prefill
    ttft_p95_s: float
    ttft_p99_s: float
    worst_day_p95_s: float  # of the waits on the day (24 hours from the first request) with the longest
    utilisation: float  # share of the nodes' time in which a request ran
    loads: int
    unserved: int  # requests that found no place until the end: pins may leave a model none
    usd_per_month: float
    usd_per_mtok: float  # per million tokens, in and out

    def as_json(self) -> dict[str, Any]:
        fleet = self.candidate.fleet
        facts = {"gpu": fleet.kind.name, "nodes": fleet.count, "policy": self.candidate.policy}
        names = [n for n in Estimate.__slots__ if n != "candidate"]
        return facts | {n: round(v, 6) if isinstance(v := getattr(self, n), float) else v for n in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What every candidate is asked to serve."""

    trace: Trace
    slots: int = Timing().slots
    pins: tuple[Pin, ...] = ()


def estimate(workload: Workload, candidate: Candidate, progress: Callable[[], None]) -> Estimate:
    """Replay the workload on a candidate. `progress` is called every 1024 requests; it ends it by raising."""
    trace, fleet = workload.trace, candidate.fleet
    timing = fleet.kind.timing(workload.slots)
    setting = Setting(
        trace=trace,
        nodes=lambda: fleet.nodes(timing),
        timing=timing,
        picture=True,
        progress=progress,
        pins=workload.pins,
    )
    progress()
    found, record = policies.run(candidate.policy, setting)
    if unserved := wait_out(trace, record):
        found = outcome(candidate.policy, trace, record)
    firsts = sorted(w + p / timing.prefill for w, p in zip(record.waits, trace.prompt_tokens, strict=True))
    usd_per_month = fleet.usd_per_month
    span_s = max(span(trace, record), 1.0)
    tokens = sum(trace.prompt_tokens) + sum(trace.output_tokens)
    spent = usd_per_month / HOURS_A_MONTH * span_s / 3600
    return Estimate(
        candidate=candidate,
        cold_share=found.cold_share,
        wait_p50_s=found.wait_p50_s,
        wait_p95_s=found.wait_p95_s,
        wait_p99_s=found.wait_p99_s,
        ttft_p50_s=quantile(firsts, 0.50),
        ttft_p95_s=quantile(firsts, 0.95),
        ttft_p99_s=quantile(firsts, 0.99),
        worst_day_p95_s=worst_day(trace, record),
        utilisation=busy_s(trace, record) / (span_s * fleet.count),
        loads=found.loads,
        unserved=unserved,
        usd_per_month=usd_per_month,
        usd_per_mtok=spent / tokens * 1e6 if tokens else 0.0,
    )


def worst_day(trace: Trace, record: Record) -> float:
    """The highest of the days' p95 waits; a day of few requests says nothing and is left out."""
    days: dict[int, list[float]] = {}
    for at, waited in zip(trace.times, record.waits, strict=True):
        days.setdefault(int((at - trace.times[0]) // DAY_S), []).append(waited)
    enough = [waits for waits in days.values() if len(waits) >= LEAST_A_DAY] or list(days.values())
    return max(quantile(sorted(waits), 0.95) for waits in enough)


def wait_out(trace: Trace, record: Record) -> int:
    """Those that were never served waited to the end of the trace; how many they are."""
    assert record.timeline is not None, "the replay kept no timeline"
    if len(record.timeline.served) == len(trace):
        return 0
    never = set(range(len(trace))) - {i for i, _ in record.timeline.served}
    end = max(span(trace, record), trace.times[-1] - trace.times[0]) + trace.times[0]
    for i in never:
        record.waits[i] = end - trace.times[i]
    return len(never)


def span(trace: Trace, record: Record) -> float:
    """Seconds from the first arrival to the last end."""
    ends = (t + w + s for t, w, s in zip(trace.times, record.waits, record.services, strict=True))
    return max(ends) - trace.times[0]


def busy_s(trace: Trace, record: Record) -> float:
    """Seconds in which at least one request ran, added up over the nodes. Needs the record's timeline."""
    assert record.timeline is not None, "the replay kept no timeline"
    spans = record.timeline.spans
    running: dict[str, list[tuple[float, float]]] = {}
    for i, number in record.timeline.served:
        start = trace.times[i] + record.waits[i]
        running.setdefault(spans[number].node, []).append((start, start + record.services[i]))
    return sum(covered(stretches) for stretches in running.values())


def covered(stretches: list[tuple[float, float]]) -> float:
    """The length of the union."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(stretches):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total

"""Types of GPU and estimates made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scheduler.planning.estimate import Candidate, Estimate
from scheduler.planning.fleet import Fleet, Kind
from scheduler.planning.search import Run
from scheduler.replay.trace import Trace
from tests.scheduler.replay.cast import trace

CHEAP = Kind(name="cheap", vram_gb=12, load_gbps=2.0, speed=1.0, usd_per_hour=0.1)
QUICK = Kind(name="quick", vram_gb=24, load_gbps=4.0, speed=2.0, usd_per_hour=0.5)
SMALL = Kind(name="small", vram_gb=4, load_gbps=2.0, speed=1.0, usd_per_hour=0.01)


def cycle(requests: int = 60, gap_s: float = 20.0) -> Trace:
    """Three models of 10 GB in turn: on one 12 GB node all are cold, on three only the first of each."""
    rows = [(gap_s * i, f"k{i % 2}", "abc"[i % 3]) for i in range(requests)]
    return trace(rows, dict.fromkeys("abc", 10.0))


def waits(seconds: Callable[[Candidate], float], asked: list[Candidate]) -> Run:
    """A replay in name only: `seconds` gives each wait, and `asked` gets every candidate."""

    def run(candidates: Sequence[Candidate]) -> list[Estimate]:
        asked.extend(candidates)
        return [estimate(c, seconds(c)) for c in candidates]

    return run


def estimate(candidate: Candidate, wait_s: float) -> Estimate:
    figures = {f"{kind}_p{share}_s": wait_s for kind in ("wait", "ttft") for share in (50, 95, 99)}
    return Estimate(
        candidate=candidate,
        cold_share=0.0,
        utilisation=0.5,
        loads=1,
        unserved=0,
        worst_day_p95_s=wait_s,
        usd_per_month=candidate.fleet.usd_per_month,
        usd_per_mtok=1.0,
        **figures,
    )


def fleet(kind: Kind, count: int) -> Fleet:
    return Fleet(kind=kind, count=count)

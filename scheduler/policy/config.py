"""The constants of the policy, each with its unit and where it comes from.

"scheduling" stands for the measurements that docs/scheduling.md reports; "Ollama" for what its source does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 2**20
GIB = 2**30
GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How the scheduler decides. An operator may change any field."""

    # -- packing
    margin: float = 0.10  # of the predicted bytes, until a footprint is measured (the original rule)
    margin_floor: float = 0.02  # of the measured bytes: buffers move a little between loads
    runner_bytes: int = 457 * MIB  # CUDA context per runner process, which /api/ps does not report (Ollama)
    fit_bytes: int = GIB  # what llama.cpp keeps free; a load that would leave less spills to host memory
    beside: float = 0.80  # Ollama evicts by itself unless what it believes a load needs is under this of free

    # -- switching
    line_bound_s: float = (
        60.0  # a line waits this long before busy residents have drained for it (scheduling: 37 s p99)
    )
    quantum_loads: float = (
        10.0  # a busy resident serves so many of its load times before it drains for a line
    )
    priority_s: float = 30.0  # a class of priority counts as so much waiting, so that none starves
    min_residency_s: float = 2.0  # a resident is left alone this long after its load, against thrash

    # -- replicas
    replica_factor: float = 2.0  # replicate when the line's predicted wait exceeds so many load times
    replica_idle_s: float = (
        300.0  # a replica beyond the first that nobody used this long retires when room is wanted
    )

    # -- eviction
    horizons_s: tuple[float, ...] = (30.0, 120.0)  # chance of reuse is summed over these (scheduling)
    eviction: Literal["regret", "order"] = "regret"  # order: by chance of reuse alone; LRU without a forecast
    exact_victims: int = 10  # cheapest subset is exact up to so many candidates, greedy above
    retire_idle_s: float | None = None  # evict what nobody used this long; None: VRAM at rest costs nothing

    # -- context
    buckets: tuple[int, ...] = (4096, 8192, 16384, 32768, 65536, 131072)  # tokens
    shrink_idle_s: float = (
        600.0  # a context above its need shrinks only when idle this long and VRAM is wanted
    )

    # -- nodes
    load_gbps: float = 2.0  # GB/s until measured (scheduling: disk reads are software-bound near this)
    service_s: float = 10.0  # seconds a request holds a seat, until measured

    # -- prefetch
    prefetch: Literal["value", "confidence", "off"] = "value"  # confidence: the original rule, 0.6
    prefetch_shadow: bool = False  # decide and score, but do not act
    prefetch_margin: float = 1.5  # gain must exceed so many times the harm; caution multiplies it (account)
    prefetch_chance: float = 0.08  # below this chance nothing is prefetched
    prefetch_cost: float = 0.02  # of a load's seconds: what a load into free VRAM is taken to cost
    prefetch_horizon_s: float = 30.0  # doubled until it is three load times
    prefetch_candidates: int = 8  # so many of the best are looked at in one round
    prefetch_confidence: float = 0.6  # of the original rule
    waste_bound: float = (
        0.20  # of all loads: the share of prefetches for nothing above which the margin rises
    )


DEFAULT = Config()

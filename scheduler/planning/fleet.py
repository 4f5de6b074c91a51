"""Fleets that a plan compares: so many nodes of one type of GPU, their speed and their price."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.policy.state import Node
from scheduler.replay import fleet as replayed
from scheduler.replay.fleet import Timing
from scheduler.replay.trace import Trace

HOURS_A_MONTH = 730.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of GPU, as a row of the operators' table says."""

    name: str
    vram_gb: float
    load_gbps: float
    speed: float  # tokens per second, as a multiple of a card with 900 GB/s of memory bandwidth
    usd_per_hour: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Kind:
        return cls(name=str(facts["name"]), **{k: float(facts[k]) for k in cls.__slots__ if k != "name"})

    def timing(self, slots: int) -> Timing:
        usual = Timing()
        return Timing(
            slots=slots,
            load_gbps=self.load_gbps,
            decode_gbps=usual.decode_gbps * self.speed,
            decode_cap=usual.decode_cap * self.speed,
            prefill=usual.prefill * self.speed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    kind: Kind
    count: int

    def __str__(self) -> str:
        return f"{self.count}x {self.kind.name}"

    @property
    def usd_per_month(self) -> float:
        return self.count * self.kind.usd_per_hour * HOURS_A_MONTH

    def nodes(self, timing: Timing) -> list[Node]:
        return replayed.parse(f"{self.count}x{self.kind.vram_gb:g}@{self.kind.load_gbps:g}", timing)


def least_count(kind: Kind, trace: Trace, slots: int) -> int | None:
    """So many nodes at least can carry the trace's work at all; None when its largest model fits on none.

    A running answer holds at least its share (size / slots) of VRAM for its time. What that adds up to must
    not exceed the VRAM of all nodes over the whole trace, or the lines grow until its end.
    """
    if max(trace.sizes_gb) > kind.vram_gb:
        return None
    timing = kind.timing(slots)
    span_s = trace.times[-1] - trace.times[0]
    held = math.fsum(
        timing.service_s(trace.sizes_gb[m], p, o) * trace.sizes_gb[m] / slots
        for m, p, o in zip(trace.models, trace.prompt_tokens, trace.output_tokens, strict=True)
    )
    return max(1, math.ceil(held / (kind.vram_gb * span_s))) if span_s > 0 else 1

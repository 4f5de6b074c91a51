"""Idle economy: how long a resident is worth keeping, from the gaps between its own requests.

A gap of g seconds costs rent x g when the resident is kept through it, and rent x T + reload when it is let
go after T seconds. The T that would have been cheapest over the gaps seen is the optimum for their
distribution; without gaps, T = reload / rent is never worse than twice the best (ski rental: Karlin,
Manasse, McGeoch and Owicki, "Competitive randomized algorithms for nonuniform problems", Algorithmica 1994;
for idle devices Irani, Shukla and Gupta, ACM TECS 2003).

Rent is what the VRAM is worth to others. On a rented GPU that nobody else waits for it is 0: keep it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BINS = 40  # bin b holds gaps above 2^(b/2) and up to 2^((b+1)/2) seconds; the last also what is above 12 days
EDGES_S = tuple(2.0 ** ((bin_ + 1) / 2) for bin_ in range(BINS))
FEWEST = 20  # gaps below which the rule without gaps is used
WORTH_S = 60.0  # keep times are rounded up to whole minutes


def bin_of(gap_s: float) -> int:
    return min(bisect_left(EDGES_S, gap_s), BINS - 1)


@dataclass(slots=True)
class Gaps:
    """Idle gaps by bin, each with its number and the sum of its seconds: costs at the edges are exact."""

    counts: list[int]
    seconds: list[float]

    @classmethod
    def none(cls) -> Gaps:
        return cls([0] * BINS, [0.0] * BINS)

    @classmethod
    def of(cls, gaps_s: Iterable[float]) -> Gaps:
        found = cls.none()
        for gap_s in gaps_s:
            found.add(gap_s)
        return found

    @classmethod
    def from_json(cls, bins: Mapping[str, tuple[int, float]]) -> Gaps:
        found = cls.none()
        found.merge(bins)
        return found

    def add(self, gap_s: float) -> None:
        bin_ = bin_of(gap_s)
        self.counts[bin_] += 1
        self.seconds[bin_] += gap_s

    def merge(self, bins: Mapping[str, tuple[int, float]]) -> None:
        """Add what `as_json` gave."""
        for name, (count, seconds) in bins.items():
            bin_ = min(int(name), BINS - 1)
            self.counts[bin_] += count
            self.seconds[bin_] += seconds

    def as_json(self) -> dict[str, tuple[int, float]]:
        return {
            str(bin_): (count, round(self.seconds[bin_], 3))
            for bin_, count in enumerate(self.counts)
            if count
        }

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What keeping and reloading cost, both in GPU-seconds (or both in money)."""

    rent: float  # for each second that the resident is kept idle; 0: nobody else wants its room
    reload: float  # for letting it go and loading it again


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The advice. Costs are averages for one gap."""

    keep_s: float | None  # None: for ever
    cost: float
    cost_always: float  # never let it go
    cost_never: float  # let it go at once
    cost_best: float  # what nobody can beat who knew each gap before: the lower of both, gap by gap
    gaps: int
    learned: bool  # False: too few gaps, the rule without them


def advise(gaps: Gaps, terms: Terms) -> Keep:
    """The keep time among the edges of the bins (and 0, and for ever) that cost least over these gaps."""
    count = gaps.total
    if terms.rent <= 0:
        return Keep(
            keep_s=None,
            cost=0.0,
            cost_always=0.0,
            cost_never=terms.reload,
            cost_best=0.0,
            gaps=count,
            learned=count >= FEWEST,
        )
    if count < FEWEST:
        keep_s = terms.reload / terms.rent
    else:
        choices = [0.0, *(EDGES_S[bin_] for bin_, held in enumerate(gaps.counts) if held), math.inf]
        keep_s = min(choices, key=lambda choice: (cost(gaps, terms, choice), choice))
    return Keep(
        keep_s=None if math.isinf(keep_s) else keep_s,
        cost=cost(gaps, terms, keep_s) / max(count, 1),
        cost_always=cost(gaps, terms, math.inf) / max(count, 1),
        cost_never=terms.reload if count else 0.0,
        cost_best=_best(gaps, terms) / max(count, 1),
        gaps=count,
        learned=count >= FEWEST,
    )


def cost(gaps: Gaps, terms: Terms, keep_s: float) -> float:
    """What all gaps cost with this keep time: exact where it is the edge of a bin, 0 or infinite."""
    spent = 0.0
    for bin_, count in enumerate(gaps.counts):
        if not count:
            continue
        if EDGES_S[bin_] <= keep_s or (bin_ == BINS - 1 and math.isinf(keep_s)):
            spent += terms.rent * gaps.seconds[bin_]
        else:
            kept = min(keep_s, gaps.seconds[bin_] / count)
            gone = keep_s < gaps.seconds[bin_] / count
            spent += count * (terms.rent * kept + (terms.reload if gone else 0.0))
    return spent


def _best(gaps: Gaps, terms: Terms) -> float:
    return sum(
        count * min(terms.rent * gaps.seconds[bin_] / count, terms.reload)
        for bin_, count in enumerate(gaps.counts)
        if count
    )


def rounded_s(keep_s: float) -> float:
    """To whole minutes, upwards; what is shorter stays in seconds."""
    return math.ceil(keep_s / WORTH_S) * WORTH_S if keep_s >= WORTH_S else math.ceil(keep_s)

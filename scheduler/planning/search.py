"""The search for the cheapest fleet that meets a target, with as few replays as it can do with.

1. A type of GPU on which the largest model does not fit is out. Fewer nodes than carry the work at all
   (`fleet.least_count`) are not replayed.
2. For each type and policy the least count that meets the target is found by halving: first the largest
   count that is allowed and cheaper than the best fleet so far; where that misses, the type is out after one
   replay. This takes it that more nodes of a type never wait longer at the quantile asked for. Anomalies
   exist, but smaller than what a node changes.
3. The type that may end up cheapest is looked at first, and its price bounds the others.
4. With `everything`, each count is replayed instead: slower, and the frontier is complete.

Replays go in rounds of `jobs`; the same input gives the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduler.planning.estimate import FIGURES, Candidate, Estimate
from scheduler.planning.fleet import Fleet, Kind

MOST_NODES = 64

Run = Callable[[Sequence[Candidate]], list[Estimate]]  # a round: replayed side by side
Told = Callable[["Search"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The most seconds for one of FIGURES."""

    figure: str
    seconds: float

    def __str__(self) -> str:
        name, share, _ = self.figure.split("_")
        return f"{share} {'TTFT' if name == 'ttft' else name} at most {self.seconds:g} s"

    def is_met(self, estimate: Estimate) -> bool:
        assert self.figure in FIGURES
        return float(getattr(estimate, self.figure)) <= self.seconds


def all_met(targets: Sequence[Target], estimate: Estimate) -> bool:
    """Who was never served waited for ever, whatever a quantile says."""
    return not estimate.unserved and all(target.is_met(estimate) for target in targets)


@dataclass(slots=True, kw_only=True)
class Bracket:
    """What is known of one type under one policy: `fails` misses the target, `meets` does not."""

    kind: Kind
    policy: str
    fails: int
    most: int
    meets: int | None = None

    def next(self, bound: float) -> int | None:
        """The count to try: below the price `bound` (US dollars a month); None when none can be better."""
        price = Fleet(kind=self.kind, count=1).usd_per_month
        affordable = math.ceil(bound / price) - 1 if bound < math.inf and price > 0 else self.most
        top = min(self.most, affordable, self.most if self.meets is None else self.meets - 1)
        if top <= self.fails:
            return None
        return top if self.meets is None else (self.fails + top + 1) // 2

    def learn(self, count: int, met: bool) -> None:
        if met:
            self.meets = count
        else:
            self.fails = count

    def left(self) -> int:
        """Replays that it may still take, at most."""
        width = (self.meets or self.most + 1) - self.fails - 1
        return math.ceil(math.log2(width + 1)) + (self.meets is None) if width > 0 else 0

    def floor(self) -> float:
        """What its cheapest untried fleet costs a month."""
        return Fleet(kind=self.kind, count=self.fails + 1).usd_per_month


@dataclass(slots=True, kw_only=True)
class Search:
    """The state of a search. `found` has every replay, `best` the cheapest that meets all targets."""

    targets: Sequence[Target]
    brackets: list[Bracket]
    out: list[str] = field(default_factory=list)  # types on which the largest model does not fit
    found: list[Estimate] = field(default_factory=list)
    best: Estimate | None = None
    everything: list[Candidate] | None = None

    def run(self, run: Run, jobs: int = 1, told: Told = lambda _: None) -> Search:
        """Replay until nothing is left that could be better."""
        told(self)
        while wanted := list(self._round(jobs)):
            for bracket, estimate in zip(wanted, run([c for _, c in wanted]), strict=True):
                self._learn(bracket[0], estimate)
            told(self)
        return self

    def left(self) -> int:
        """Replays that may still be needed, at most."""
        if self.everything is not None:
            return len(self.everything)
        return sum(b.left() for b in self.brackets if b.next(self._bound()) is not None)

    def _bound(self) -> float:
        return math.inf if self.best is None else self.best.usd_per_month

    def _round(self, jobs: int) -> Iterator[tuple[Bracket | None, Candidate]]:
        if self.everything is not None:
            now, self.everything = self.everything[:jobs], self.everything[jobs:]
            yield from ((None, candidate) for candidate in now)
            return
        bound = self._bound()
        promising = sorted(self.brackets, key=lambda b: (b.floor(), b.kind.name, b.policy))  # 3
        able = ((b, b.next(bound)) for b in promising)
        ready = [(b, count) for b, count in able if count is not None]
        for bracket, count in ready[:jobs]:
            fleet = Fleet(kind=bracket.kind, count=count)
            yield bracket, Candidate(fleet=fleet, policy=bracket.policy)

    def _learn(self, bracket: Bracket | None, estimate: Estimate) -> None:
        self.found.append(estimate)
        met = all_met(self.targets, estimate)
        if bracket is not None:
            bracket.learn(estimate.candidate.fleet.count, met)
        if met and (self.best is None or _rank(estimate) < _rank(self.best)):
            self.best = estimate

    def frontier(self) -> list[Estimate]:
        """Of all replays those that no cheaper one equals at the first target's figure, cheapest first."""
        figure = self.targets[0].figure
        least = math.inf
        kept = []
        for estimate in sorted(self.found, key=lambda e: (e.usd_per_month, getattr(e, figure))):
            if (value := getattr(estimate, figure)) < least:
                kept.append(estimate)
                least = value
        return kept

    def as_json(self) -> dict[str, Any]:
        ordered = sorted(self.found, key=_rank)
        return {
            "targets": {t.figure: t.seconds for t in self.targets},
            "best": self.best.as_json() if self.best else None,
            "frontier": [e.as_json() for e in self.frontier()],
            "fleets": [e.as_json() | {"meets": all_met(self.targets, e)} for e in ordered],
            "too_small": self.out,
        }


def _rank(estimate: Estimate) -> tuple[float, float, str, str]:
    candidate = estimate.candidate
    return estimate.usd_per_month, estimate.wait_p95_s, candidate.fleet.kind.name, candidate.policy


def prepared(
    kinds: Sequence[tuple[Kind, int | None]],
    policies: Sequence[str],
    targets: Sequence[Target],
    most_nodes: int,
    *,
    everything: bool = False,
) -> Search:
    """A search over types, each with its least count (`fleet.least_count`)."""
    fitting = [(kind, least) for kind, least in kinds if least is not None]
    brackets = [
        Bracket(kind=kind, policy=policy, fails=least - 1, most=most_nodes)
        for kind, least in fitting
        for policy in policies
    ]
    search = Search(targets=targets, brackets=brackets, out=[k.name for k, least in kinds if least is None])
    if everything:
        search.everything = [
            Candidate(fleet=Fleet(kind=b.kind, count=count), policy=b.policy)
            for b in brackets
            for count in range(b.fails + 1, most_nodes + 1)
        ]
    return search

"""Gaps between events as a histogram with half-octave bins, from 1 second to 9 days."""

from __future__ import annotations

from math import log2
from operator import mul

BINS = 40  # bin b holds gaps of 2^(b/2) to 2^((b+1)/2) seconds; the first also what is shorter
HALVE_AT = 400  # older gaps count half once so many are held, so that habits may change


NEVER_S = 1e9  # the gap of what is not expected to come again
MIDDLES = [0.5 * (2 ** (b / 2) + 2 ** ((b + 1) / 2)) for b in range(BINS)]  # seconds

Mixture = tuple[tuple["Gaps", float], ...]  # histograms and weights; 0: its own number of gaps


class Gaps:
    """How long it took until the next event, the past forgotten slowly."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0.0] * BINS
        self.total = 0.0

    def add(self, gap_s: float) -> None:
        self.counts[min(int(position(gap_s)), BINS - 1)] += 1
        self.total += 1
        if self.total >= HALVE_AT:
            self.counts = [c / 2 for c in self.counts]
            self.total /= 2

    def within(self, gap_s: float) -> float:
        """How many of the gaps were at most `gap_s` seconds long, interpolated within the bin."""
        return self.below(position(gap_s))

    def below(self, bin_and_share: float) -> float:
        """How many lie below a position on the axis of bins."""
        whole = int(bin_and_share)
        if whole >= BINS:
            return self.total
        counts = self.counts
        return sum(counts[:whole]) + (bin_and_share - whole) * counts[whole]

    def mean(self, below_s: float) -> float:
        """Mean seconds of the gaps shorter than `below_s`, by the middles of their bins; 0: none."""
        counts = self.counts[: int(position(below_s))]
        total = sum(counts)
        return sum(map(mul, counts, MIDDLES)) / total if total else 0.0

    @property
    def never(self) -> float:
        """The share after which nothing came."""
        return self.counts[-1] / self.total if self.total else 0.0


def position(gap_s: float) -> float:
    """Where a gap lies on the axis of bins."""
    return 2 * log2(gap_s) if gap_s > 1 else 0.0


def chance(mixture: Mixture, elapsed_s: float, horizon_s: float, never: float = 0.0) -> float:
    """Probability that the next event comes within `horizon_s`, none having come for `elapsed_s`.

    The first histogram of the mixture counts in full, each other as many gaps as its weight says. `never` is
    the share of waits without an end, which leave no gap behind: without them silence looks too hopeful.
    """
    start, end = position(elapsed_s), position(elapsed_s + horizon_s)
    now = then = total = 0.0
    for gaps, weight in mixture:
        if gaps.total:
            scale = weight / gaps.total if weight else 1.0
            now += scale * gaps.below(start)
            then += scale * gaps.below(end)
            total += scale * gaps.total
    left = total / (1.0 - never) - now
    return (then - now) / left if left > 1e-9 else 0.0

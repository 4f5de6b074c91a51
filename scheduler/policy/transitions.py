"""Transitions: after which model comes which, with the past forgotten slowly and memory bounded."""

from __future__ import annotations

from collections.abc import Mapping

HALVE_AT = 100.0  # a row's older counts weigh half once it holds so many
PRIOR = 2.0  # observations that the shared row counts for
LEAST = 0.02  # shares below this are left out: they decide nothing and cost time
STALE = 1.05  # growth of a row after which its shares are worked out again
NOTHING: Mapping[str, float] = {}


class Transitions:
    """Counts of `from` to `to`. Rows are dropped in the order of their last use."""

    __slots__ = ("_shares", "most_from", "most_next", "rows", "sums")

    def __init__(self, most_from: int = 32, most_next: int = 16) -> None:
        self.most_from, self.most_next = most_from, most_next
        self.rows: dict[str, dict[str, float]] = {}
        self.sums: dict[str, float] = {}
        self._shares: dict[str, tuple[float, Mapping[str, float]]] = {}  # by row: its sum then, its shares

    def add(self, before: str, after: str) -> None:
        row = self.rows.pop(before, None)
        if row is None:
            row = {}
            if len(self.rows) >= self.most_from:
                self._drop(next(iter(self.rows)))
        self.rows[before] = row  # the last used row is the last
        row[after] = row.get(after, 0.0) + 1.0
        total = self.sums.get(before, 0.0) + 1.0
        if total >= HALVE_AT or len(row) > self.most_next:
            self.rows[before] = row = self._forget(row)
            total = sum(row.values())
            self._shares.pop(before, None)
        self.sums[before] = total

    def _drop(self, before: str) -> None:
        del self.rows[before], self.sums[before]
        self._shares.pop(before, None)

    def _forget(self, row: dict[str, float]) -> dict[str, float]:
        halved = {to: count / 2 for to, count in row.items() if count > 0.25}
        kept = sorted(halved, key=lambda to: (-halved[to], to))[: self.most_next - 1]
        return {to: halved[to] for to in kept}

    def shares(self, before: str) -> Mapping[str, float]:
        """The shares of what follows, those below LEAST left out; a little behind for rows that hold much."""
        total = self.sums.get(before)
        if total is None:
            return NOTHING
        known = self._shares.get(before)
        if known is None or not known[0] <= total < known[0] * STALE:
            row = self.rows[before]
            known = total, {to: count / total for to, count in row.items() if count >= LEAST * total}
            self._shares[before] = known
        return known[1]

    def mixed(self, before: str, shared: Transitions) -> Mapping[str, float]:
        """The share of each next model, this row's counts with the shared row as a prior."""
        own, prior = self.rows.get(before), shared.shares(before)
        if own is None:
            return prior
        total = self.sums[before] + PRIOR
        mixture = {to: count / total for to, count in own.items()}
        for to, share in prior.items():
            mixture[to] = mixture.get(to, 0.0) + share * PRIOR / total
        return mixture

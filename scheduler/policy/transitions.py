"""Transitions: after which model comes which, with the past forgotten slowly and memory bounded."""

from __future__ import annotations

HALVE_AT = 100.0  # a row's older counts weigh half once it holds so many
PRIOR = 2.0  # observations that the shared row counts for
LEAST = 0.005  # shares below this are left out: they decide nothing and cost time


class Transitions:
    """Counts of `from` to `to`. Rows are dropped in the order of their last use."""

    __slots__ = ("most_from", "most_next", "rows", "sums")

    def __init__(self, most_from: int = 32, most_next: int = 16) -> None:
        self.most_from, self.most_next = most_from, most_next
        self.rows: dict[str, dict[str, float]] = {}
        self.sums: dict[str, float] = {}

    def add(self, before: str, after: str) -> None:
        row = self.rows.pop(before, None)
        if row is None:
            row = {}
            if len(self.rows) >= self.most_from:
                oldest = next(iter(self.rows))
                del self.rows[oldest], self.sums[oldest]
        self.rows[before] = row  # the last used row is the last
        row[after] = row.get(after, 0.0) + 1.0
        total = self.sums.get(before, 0.0) + 1.0
        if total >= HALVE_AT or len(row) > self.most_next:
            self.rows[before] = row = self._forget(row)
            total = sum(row.values())
        self.sums[before] = total

    def _forget(self, row: dict[str, float]) -> dict[str, float]:
        halved = {to: count / 2 for to, count in row.items() if count > 0.25}
        kept = sorted(halved, key=lambda to: (-halved[to], to))[: self.most_next - 1]
        return {to: halved[to] for to in kept}

    def mixed(self, before: str, shared: Transitions) -> dict[str, float]:
        """The share of each next model, this row's counts with the shared row as a prior."""
        own, total = self.rows.get(before), self.sums.get(before, 0.0)
        prior, weight = shared.rows.get(before), shared.sums.get(before, 0.0)
        shares: dict[str, float] = {}
        if own is not None:
            shares = {to: count / (total + PRIOR) for to, count in own.items()}
        if prior is not None:
            scale = PRIOR / ((total + PRIOR) * weight)
            for to, count in prior.items():
                shares[to] = shares.get(to, 0.0) + scale * count
        return {to: share for to, share in shares.items() if share >= LEAST}

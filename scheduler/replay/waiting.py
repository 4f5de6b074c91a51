"""A model's line within a replay: in the fair order of the board, and by arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from scheduler.policy.fairness import FairLine

PRIORITY = 1  # a trace knows no other


class Waiting:
    """Requests (by index) that wait for one model."""

    __slots__ = ("_by_arrival", "_fair", "_gone")

    def __init__(self) -> None:
        self._fair: FairLine[int] = FairLine(0.0)
        self._by_arrival: deque[int] = deque()
        self._gone: set[int] = set()  # seated, and not at the head of `_by_arrival` yet

    def __len__(self) -> int:
        return len(self._fair)

    def __iter__(self) -> Iterator[int]:
        return (turn.item for turn in self._fair)

    def join(self, request: int, key: str, at: float) -> None:
        self._fair.join(request, (key, PRIORITY), at)
        self._by_arrival.append(request)

    def next(self, at: float) -> int:
        """Take out who is served next."""
        turn = self._fair.first()
        self._fair.serve(turn, at)
        self._gone.add(turn.item)
        while self._by_arrival and self._by_arrival[0] in self._gone:
            self._gone.remove(self._by_arrival.popleft())
        return turn.item

    def oldest(self) -> int:
        """Who came first of those that wait."""
        return self._by_arrival[0]

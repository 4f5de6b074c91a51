"""A heap of things that happen at a moment of the node's time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Timers:
    """Call-backs in the order of their moment, ties in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (moment, next(self._order), action))

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> tuple[float, Callable[[], None]] | None:
        """The earliest action that is due, with its moment, removed from the heap."""
        if not self._heap or self._heap[0][0] > now:
            return None
        moment, _, action = heapq.heappop(self._heap)
        return moment, action

"""The fair order of a line: weighted fair queueing between keys, with aging.

A flow is what one key sends with one priority; its weight is 4 ** priority. Each ticket is tagged once, when
it joins, and the lowest tag is next (arrival decides between equal ones), so a line is also a sorted set.

1. Finish tag: max(virtual time, tag of the flow's last ticket) + 1 / weight. This is self-clocked fair
   queueing (S. J. Golestani, INFOCOM 1994). Start-time tags (P. Goyal, H. Vin, H. Cheng, SIGCOMM 1996) would
   put the first ticket of a low-priority key level with the first one of a high-priority key.
2. Virtual time jumps to the tag of the ticket that is served, so a key that comes back gains nothing by
   having been away, and a key that floods the line only waits for itself.
3. Aging: virtual time also moves by one in AGING_S seconds, whether somebody is served or not. A ticket that
   was the k-th of its flow is passed by no ticket that joins k / weight * AGING_S seconds later.
4. Bounded wait: tags of one flow lie at least 1 / weight apart, so at most k * w / weight later tickets of a
   flow of weight w pass the k-th ticket of a flow, whatever the order of arrival.
5. A ticket that leaves unserved as the last of its flow takes its tag with it: giving up costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

AGING_S = 120.0  # a low-priority ticket is passed by nobody who joins two minutes later
HEAD = -1.0  # the tag of a ticket that was seated before and comes back; virtual time starts at 0
IDLE_FLOWS = 64  # flows without a waiting ticket that a line remembers before it sweeps them

Flow = tuple[str, int]  # key and priority


def weight(priority: int) -> float:
    """The share of a class: four times that of the one below it."""
    return float(4.0**priority)


def virtual_now(virtual: float, at: float, now: float) -> float:
    """Virtual time at `now`, when it was `virtual` at `at` (Unix seconds)."""
    return virtual + max(0.0, now - at) / AGING_S


def finish_tag(virtual: float, last: float, priority: int) -> float:
    """The tag of a flow's next ticket, after `last` (the tag of the one before, or less)."""
    return max(virtual, last) + 1.0 / weight(priority)


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """A ticket's place in the order."""

    item: T
    flow: Flow
    tag: float
    order: int  # of joining; decides between equal tags

    @property
    def rank(self) -> tuple[float, int]:
        return self.tag, self.order


class FairLine(Generic[T]):
    """The tickets that wait for one model, in fair order."""

    def __init__(self, now: float) -> None:
        self._turns: list[Turn[T]] = []
        self._last: dict[Flow, float] = {}
        self._virtual = 0.0
        self._at = now
        self._joined = 0

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn[T]]:
        """The tickets, next one first. The line may be changed meanwhile."""
        return iter(self._turns[:])

    def join(self, item: T, flow: Flow, now: float) -> Turn[T]:
        """Take a place by fairness (1)."""
        virtual = virtual_now(self._virtual, self._at, now)
        tag = self._last[flow] = finish_tag(virtual, self._last.get(flow, 0.0), flow[1])
        return self._insert(Turn(item, flow, tag, self._joined))

    def join_head(self, item: T, flow: Flow) -> Turn[T]:
        """Take the place behind those that came back before, and before everybody else."""
        return self._insert(Turn(item, flow, HEAD, self._joined))

    def _insert(self, turn: Turn[T]) -> Turn[T]:
        self._joined += 1
        insort(self._turns, turn, key=_rank)
        return turn

    def first(self) -> Turn[T]:
        """The next one's turn. Raises IndexError when nobody waits."""
        return self._turns[0]

    def position(self, turn: Turn[T]) -> int:
        """1 for the next one."""
        return bisect_left(self._turns, turn.rank, key=_rank) + 1

    def serve(self, turn: Turn[T], now: float) -> None:
        """Take out a ticket that got its seat (2)."""
        self._remove(turn)
        self._virtual = max(virtual_now(self._virtual, self._at, now), turn.tag)
        self._at = max(self._at, now)
        if len(self._last) > 2 * len(self._turns) + IDLE_FLOWS:
            self._last = {flow: tag for flow, tag in self._last.items() if tag > self._virtual}

    def leave(self, turn: Turn[T]) -> None:
        """Take out a ticket that gave up or was refused (5)."""
        self._remove(turn)
        if self._last.get(turn.flow) == turn.tag:
            self._last[turn.flow] = turn.tag - 1.0 / weight(turn.flow[1])

    def _remove(self, turn: Turn[T]) -> None:
        del self._turns[bisect_left(self._turns, turn.rank, key=_rank)]


def _rank(turn: Turn[T]) -> tuple[float, int]:
    return turn.rank

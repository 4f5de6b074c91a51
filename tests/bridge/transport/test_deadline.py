from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from bridge.transport.deadline import Deadline


class ManualLoop:
    """A clock that the test moves, with the two calls of a loop that a deadline uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made = 0
        self.timers: list[tuple[float, ManualTimer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        self.made += 1
        timer = ManualTimer(callback)
        self.timers.append((when, timer))
        return timer

    def advance(self, to: float) -> None:
        while due := [pair for pair in self.timers if pair[0] <= to and not pair[1].cancelled]:
            when, timer = min(due, key=lambda pair: pair[0])
            self.timers.remove((when, timer))
            self.now = when
            timer.callback()
        self.now = to


class ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def make() -> tuple[ManualLoop, Deadline, list[float]]:
    loop = ManualLoop()
    passed: list[float] = []
    deadline = Deadline(cast(asyncio.AbstractEventLoop, loop), lambda: passed.append(loop.now))
    return loop, deadline, passed


def test_it_passes_once_and_in_time() -> None:
    loop, deadline, passed = make()
    deadline.set(5)
    loop.advance(4.9)
    assert passed == []
    loop.advance(100)
    assert passed == [5]


def test_moving_it_a_thousand_times_makes_few_timers() -> None:
    loop, deadline, passed = make()
    for step in range(1000):
        loop.advance(step / 100)
        deadline.set(5)
    loop.advance(100)
    assert passed == [9.99 + 5]
    assert loop.made <= 4


def test_an_earlier_deadline_replaces_a_later_one() -> None:
    loop, deadline, passed = make()
    deadline.set(600)
    deadline.set(1)
    loop.advance(1000)
    assert passed == [1]


def test_none_takes_it_away_and_it_may_come_back() -> None:
    loop, deadline, passed = make()
    deadline.set(5)
    deadline.set(None)
    loop.advance(10)
    assert passed == []
    deadline.set(2)
    loop.advance(20)
    assert passed == [12]


def test_a_closed_one_never_passes_and_leaves_no_timer() -> None:
    loop, deadline, passed = make()
    deadline.set(5)
    deadline.close()
    deadline.set(1)
    loop.advance(10)
    assert passed == []
    assert all(timer.cancelled for _, timer in loop.timers)

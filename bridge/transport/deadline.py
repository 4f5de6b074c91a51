"""A deadline that moves often and passes seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls `passed` once the deadline is over, with one timer that is set again only when it must be.

    Each chunk of a stream moves the deadline; cancelling and making a loop timer each time would cost more
    than the chunk. A timer that fires too early just sets itself to the deadline of that moment.
    """

    __slots__ = ("_armed_for", "_closed", "_loop", "_passed", "_timer", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._when = inf
        self._armed_for = inf
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def set(self, seconds: float | None) -> None:
        """Let it pass `seconds` from now; None for never. A closed one stays so."""
        if seconds is None or self._closed:
            self._when = inf
            return
        self._when = when = self._loop.time() + seconds
        if when < self._armed_for:
            self._arm(when)

    def close(self) -> None:
        """Never call `passed` again."""
        self._closed = True
        self._when = inf
        self._armed_for = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._armed_for = inf
        if self._when == inf:
            return
        # The loop may fire a timer up to its clock resolution early.
        if self._loop.time() + 0.001 < self._when:
            self._arm(self._when)
            return
        self._when = inf
        self._passed()

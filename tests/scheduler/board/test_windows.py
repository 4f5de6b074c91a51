"""The sliding minute of one limit, and that silent keys leave nothing behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.board.interface import Budget, Limits
from scheduler.board.memory import MemoryBoard
from scheduler.board.windows import Window
from tests.scheduler.board.cast import START, Clock, publish, resident, seated, ticket

LIMIT = 50


def at(now: float) -> Window:
    window = Window()
    window.roll(now)
    return window


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 30)), max_size=60))
def test_two_minutes_never_hold_more_than_twice_the_limit(steps: list[tuple[float, int]]) -> None:
    """The known worst case of two buckets: a burst at the end of one minute, an even flow in the next."""
    now, window, taken = START, at(START), [(START, 0)]
    for pause, amount in steps:
        now += pause
        window.roll(now)
        if window.used(now) + amount <= LIMIT:
            window.charge(amount)
            taken.append((now, amount))
    for since, _ in taken:
        assert sum(amount for when, amount in taken if since <= when < since + 60.0) <= 2 * LIMIT


@given(st.integers(1, LIMIT), st.integers(0, LIMIT), st.integers(0, LIMIT), st.floats(0, 59))
def test_what_is_said_to_fit_later_fits_then_and_not_before(
    amount: int, previous: int, current: int, second: float
) -> None:
    now = START + 60.0 + second
    window = at(START)
    window.charge(previous)
    window.roll(now)
    window.charge(current)
    wait = window.fits_in_s(now, amount, LIMIT)
    assert wait is not None
    if wait > 0.01:
        window.roll(now + wait - 0.01)
        assert window.used(now + wait - 0.01) + amount > LIMIT
    window.roll(now + wait)
    assert window.used(now + wait) + amount <= LIMIT + 1e-6


@given(st.integers(0, LIMIT), st.integers(0, LIMIT), st.floats(0, 59))
def test_after_its_reset_nothing_counts(previous: int, current: int, second: float) -> None:
    now = START + 60.0 + second
    window = at(START)
    window.charge(previous)
    window.roll(now)
    window.charge(current)
    later = now + window.reset_s(now)
    window.roll(later)
    assert window.used(later) == pytest.approx(0.0, abs=1e-6)


def test_more_than_the_limit_never_fits() -> None:
    assert at(START).fits_in_s(START, LIMIT + 1, LIMIT) is None


def test_a_clock_that_steps_back_keeps_what_was_counted() -> None:
    window = at(START)
    window.charge(10)
    window.roll(START - 300.0)
    assert window.used(START - 300.0) == 10
    assert window.reset_s(START - 300.0) == 120.0


@pytest.mark.asyncio
async def test_silent_keys_leave_nothing_behind() -> None:
    clock = Clock()
    board = MemoryBoard(clock=clock)
    await publish(board, resident(slots=1))
    day = Budget(period="day", tokens=10_000, start=START, end=START + 60.0)
    for number in range(1000):
        limits = Limits(requests_per_minute=5, budgets=(day,))
        asked = ticket(f"k{number}", limits=limits, deadline=START + 1e9)
        await seated(board, asked)
        await board.settle(asked.id, 50)
    assert len(board._accounts) == 1000
    clock.advance(180.0)
    await board.renew("bridge-1")
    assert len(board._accounts) == 1000  # the budget's period is remembered a day longer
    clock.advance(86_400.0)
    await board.renew("bridge-1")
    assert board._accounts == {}
    assert board._tickets == {}


@pytest.mark.asyncio
async def test_models_that_nobody_holds_leave_nothing_behind() -> None:
    board = MemoryBoard(clock=Clock())
    await board.lead("scheduler-1")
    for number in range(100):
        asked = ticket(model=f"typo-{number}")
        await board.admit(asked)
        await board.settle(asked.id, None)
    assert board._lines.models == {}


@pytest.mark.asyncio
async def test_the_newest_10_000_arrivals_are_kept() -> None:
    board = MemoryBoard(clock=Clock())
    for _ in range(10_050):
        await board.admit(ticket())
    assert len(await board.arrivals()) == 10_000

"""Queue bounds, drain rates and the time to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policy.backpressure import Drain, clamp, crowding, predicted_wait, retry_after


def crowd(waiting: int, priority: int, *, total: int = 0, bound: int = 100) -> str | None:
    return crowding(
        waiting=waiting, waiting_total=total, queue_model=bound, queue_total=400, priority=priority
    )


@pytest.mark.parametrize(
    ("waiting", "refused"),
    [
        (80, [None, None, None]),
        (81, ["queue_shed", None, None]),
        (90, ["queue_shed", None, None]),
        (91, ["queue_shed", "queue_shed", None]),
        (99, ["queue_shed", "queue_shed", None]),
        (100, ["queue_full"] * 3),
    ],
)
def test_the_lowest_priorities_are_refused_first(waiting: int, refused: list[str | None]) -> None:
    assert [crowd(waiting, priority) for priority in (0, 1, 2)] == refused


def test_all_lines_together_crowd_too() -> None:
    assert crowd(0, 0, total=321) == "queue_shed"
    assert crowd(0, 2, total=400) == "queue_full"


def test_a_line_of_one_place_takes_one() -> None:
    assert [crowd(0, priority, bound=1) for priority in (0, 1, 2)] == [None, None, None]
    assert crowd(1, 2, bound=1) == "queue_full"


@given(st.integers(0, 200), st.integers(0, 500), st.integers(0, 4))
def test_a_higher_priority_is_never_refused_where_a_lower_one_is_taken(
    waiting: int, total: int, priority: int
) -> None:
    if crowd(waiting, priority, total=total) is None:
        assert crowd(waiting, priority + 1, total=total) is None


def drained(seats: int, every_s: float) -> Drain:
    drain = Drain(at=1000.0)
    for number in range(1, seats + 1):
        drain = drain.gave(1000.0 + number * every_s)
    return drain


def test_a_steady_line_drains_at_its_rate() -> None:
    assert drained(500, 0.5).rate() == pytest.approx(2.0, rel=0.01)


def test_too_little_is_no_measurement() -> None:
    assert drained(1, 10.0).rate() is None
    assert drained(100, 0.001).rate() is None


def test_time_without_anybody_waiting_does_not_count() -> None:
    busy = drained(100, 0.5)
    idle = busy.resume(busy.at + 3600.0)
    assert idle.rate() == busy.rate()


def test_a_stalled_line_gets_slower_until_it_is_unknown() -> None:
    drain = drained(100, 0.5)
    known = [drain.until(drain.at + seconds).rate() or 0.0 for seconds in (0.0, 30.0, 60.0)]
    assert known[0] > known[1] > known[2] > 0.0
    assert drain.until(drain.at + 600.0).rate() is None


def test_a_clock_that_steps_back_changes_nothing() -> None:
    drain = drained(100, 0.5)
    assert drain.until(drain.at - 50.0) == drain


@pytest.mark.parametrize(
    ("waiting", "rate", "load_s", "seconds"),
    [
        (10, 2.0, None, 5),
        (0, 2.0, None, 1),
        (10, 2.0, 7.5, 13),
        (1000, 2.0, None, 60),
        (10, None, 7.5, 8),
        (10, None, None, 10),
    ],
)
def test_retry_after_is_when_those_who_wait_have_their_seats(
    waiting: int, rate: float | None, load_s: float | None, seconds: int
) -> None:
    assert retry_after(waiting, rate, load_s) == seconds


@given(st.floats(-1e9, 1e9))
def test_retry_after_is_a_whole_number_from_1_to_60(seconds: float) -> None:
    assert 1 <= clamp(seconds) <= 60


def test_a_wait_is_predicted_only_from_what_is_known() -> None:
    assert predicted_wait(4, 2.0, None, resident=True) == 2.0
    assert predicted_wait(4, None, 9.0, resident=True) is None
    assert predicted_wait(1, None, 9.0, resident=False) == 9.0
    assert predicted_wait(2, None, 9.0, resident=False) is None
    assert predicted_wait(3, 2.0, 9.0, resident=False) == 10.0
    assert predicted_wait(1, 2.0, None, resident=False) is None

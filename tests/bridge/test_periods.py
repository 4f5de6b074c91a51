from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.periods import FOREVER, running

moments = st.floats(0, 4_000_000_000, allow_nan=False)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(moments, st.sampled_from(["day", "month", "total"]))
def test_now_lies_in_the_running_period(now: float, period: str) -> None:
    start, end = running(period, now)
    assert start <= now < end


@given(moments, st.sampled_from(["day", "month"]))
def test_periods_follow_each_other_without_a_gap(now: float, period: str) -> None:
    start, end = running(period, now)
    assert running(period, end)[0] == end
    assert running(period, end - 1) == (start, end)
    assert start % 86_400 == 0


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2026-02-28T23:59:59", "2026-02-01", "2026-03-01"),
        ("2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
        ("2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_month_is_the_calendars(now: str, start: str, end: str) -> None:
    assert running("month", at(now)) == (at(start), at(end))


def test_the_total_never_ends() -> None:
    assert running("total", at("2026-01-01")) == (0.0, FOREVER)

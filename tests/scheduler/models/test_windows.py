from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.models.windows import DAYS, BadWindow, as_lines, check, from_lines, minutes
from scheduler.policy.pins import MINUTES_A_WEEK, Window


@pytest.mark.parametrize(
    ("line", "days", "written"),
    [
        ("mon-fri 08:00-18:00", ["mon", "tue", "wed", "thu", "fri"], "mon-fri 08:00-18:00"),
        ("Sat,Sun  22:00 - 06:00", ["sat", "sun"], "sat,sun 22:00-06:00"),
        ("fri-mon 00:00-24:00", ["mon", "fri", "sat", "sun"], "mon,fri,sat,sun 00:00-24:00"),
        ("wed, mon 10:00-11:00", ["mon", "wed"], "mon,wed 10:00-11:00"),
    ],
)
def test_a_line_is_a_window(line: str, days: list[str], written: str) -> None:
    (window,) = from_lines(line)
    assert window["days"] == days
    assert as_lines([window]) == written


@pytest.mark.parametrize(
    "line",
    [
        "always",
        "mon 8-18",
        "funday 08:00-18:00",
        "mon-never 08:00-18:00",
        "mon 08:00-08:00",
        "mon 25:00-26:00",
    ],
)
def test_what_is_no_window_is_said_to_be_none(line: str) -> None:
    with pytest.raises(BadWindow):
        from_lines(line)


def test_empty_lines_are_no_window() -> None:
    assert from_lines("\n  \n") == []


clock = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
window = st.builds(
    lambda days, start, end: {"days": sorted(days, key=DAYS.index), "from": start, "to": end},
    st.sets(st.sampled_from(DAYS), min_size=1),
    clock,
    clock,
).filter(lambda window: window["from"] != window["to"])


@given(st.lists(window, max_size=3))
def test_windows_are_written_and_read_without_loss(windows: list[dict[str, object]]) -> None:
    check(windows)
    assert from_lines(as_lines(windows)) == windows


@given(window, st.integers(0, MINUTES_A_WEEK - 1))
def test_a_minute_is_inside_by_the_wall_clock(window: dict[str, str], minute: int) -> None:
    def at(clock: str) -> int:
        return int(clock[:2]) * 60 + int(clock[3:])

    day, now, start, end = DAYS[minute // 1440], minute % 1440, at(window["from"]), at(window["to"])
    yesterday = DAYS[minute // 1440 - 1]
    today_open = day in window["days"] and (start <= now < end if start < end else now >= start)
    held_over = start > end and yesterday in window["days"] and now < end
    assert any(w.is_open(minute) for w in minutes([window])) == (today_open or held_over)


def test_the_last_minute_of_the_week_runs_into_its_first() -> None:
    assert minutes([{"days": ["sun"], "from": "22:00", "to": "06:00"}]) == (Window(start=9960, end=360),)
    assert minutes([{"days": ["sun"], "from": "00:00", "to": "24:00"}]) == (Window(start=8640, end=0),)

"""keep_alive, as Ollama reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialects import durations
from bridge.dialects.inner import BadRequest

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("90s", 90),
        ("250ms", 0.25),
        (".5s", 0.5),
        ("+10s", 10),
        ("0", 0),
        ("-0s", 0),
        ("-1s", INFINITY),
        ("-1h", INFINITY),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("1ns", 1e-9),
    ],
)
def test_a_duration_is_read_in_gos_notation(text: str, seconds: float) -> None:
    assert durations.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "5d", "1h30", "--1s", "1e3s", "٣s", "s5", "1" * 60 + "s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        durations.seconds(text)
    with pytest.raises(BadRequest, match="time: invalid duration"):
        durations.keep_alive({"keep_alive": text})


@pytest.mark.parametrize(("value", "seconds"), [(None, None), (0, 0), (300, 300), (0.5, 0.5), (-1, INFINITY)])
def test_a_number_is_seconds_and_a_negative_one_for_ever(value: float | None, seconds: float | None) -> None:
    assert durations.keep_alive({"keep_alive": value}) == seconds


@pytest.mark.parametrize("value", [True, [], {}])
def test_another_type_is_refused_with_what_it_takes(value: object) -> None:
    with pytest.raises(BadRequest, match=r'keep_alive takes seconds \(300\) or a duration \("5m"'):
        durations.keep_alive({"keep_alive": value})


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert durations.seconds(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds

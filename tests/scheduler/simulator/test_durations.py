from __future__ import annotations

import math

import pytest

from scheduler.simulator.durations import (
    BadDuration,
    environment_keep_alive,
    keep_alive_seconds,
    parse_duration,
    stamp,
)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (300, 300.0),
        (1.5, 1.5),
        (-1, math.inf),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("-1m", math.inf),
        ("0", 0.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
    ],
)
def test_keep_alive_takes_seconds_and_go_durations(given: object, seconds: float | None) -> None:
    assert keep_alive_seconds(given) == seconds


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        (True, "Unsupported type: 'bool'"),
        ([], "Unsupported type: '[]interface {}'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
    ],
)
def test_a_bad_keep_alive_is_refused_with_gos_words(given: object, error: str) -> None:
    with pytest.raises(BadDuration) as caught:
        keep_alive_seconds(given)
    assert str(caught.value) == error


def test_the_environment_takes_bare_seconds_too() -> None:
    assert environment_keep_alive("300") == 300.0
    assert environment_keep_alive("-1") == math.inf
    assert environment_keep_alive("24h") == 86400.0


def test_microseconds_and_sums_are_durations() -> None:
    assert parse_duration("1m30s") == 90.0
    assert parse_duration("-2us") == -2e-6


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
        (1_000_000_010, "1970-01-01T00:00:01.00000001Z"),
    ],
)
def test_time_stamps_have_gos_nanoseconds(nanoseconds: int, text: str) -> None:
    assert stamp(nanoseconds) == text

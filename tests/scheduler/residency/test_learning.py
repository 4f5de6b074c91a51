from __future__ import annotations

import pytest

from scheduler.board.interface import Arrival, Line, Load
from scheduler.policy.state import Footprint, Measured
from scheduler.residency.learning import Learning
from scheduler.residency.rows import Rows
from tests.scheduler.policy.cast import model

PRINT = Footprint("d", 4096, 2, "f16")


def took(learning: Learning, size: int, seconds: float = 2.0) -> float:
    return learning.loaded("n1", "m", PRINT, size_bytes=size, seconds=seconds, weights_bytes=4_000_000_000)


def test_the_largest_size_and_the_spread_are_kept() -> None:
    learning = Learning()
    for size in (100, 110, 105):
        took(learning, size)
    measured = learning.stats({}, 0.0).footprints[PRINT]
    assert (measured.bytes, measured.samples) == (110, 3)
    assert 0.04 < measured.error < 0.1


def test_load_seconds_are_a_moving_mean_and_speed_follows() -> None:
    learning = Learning()
    assert took(learning, 100, 2.0) == 2.0
    assert took(learning, 100, 4.0) == pytest.approx(1.7)
    assert learning.stats({}, 0.0).load_s["n1", "m"] == pytest.approx(2.6)


def test_it_begins_with_what_is_on_record_and_own_measurements_are_newer() -> None:
    learning = Learning()
    rows = Rows(
        models={"m": model("m", digests={"n1": "d"})},
        footprints={PRINT: Measured(bytes=50, error=0.1)},
        load_s={("n1", "d"): 9.0},
    )
    learning.take_rows(rows)
    assert learning.was_measured("n1", "m")
    assert learning.stats({}, 0.0).load_s == {("n1", "m"): 9.0}
    took(learning, 60)
    learning.take_rows(rows)
    assert learning.stats({}, 0.0).footprints[PRINT].bytes == 60


def test_a_need_that_was_raised_holds_until_a_load_succeeds_or_time_passes() -> None:
    learning = Learning()
    learning.raise_need(PRINT, 500, until=10.0)
    assert learning.stats({}, 1.0).footprints[PRINT].bytes == 500
    assert PRINT not in learning.stats({}, 11.0).footprints
    learning.raise_need(PRINT, 500, until=10.0)
    took(learning, 100)
    assert learning.stats({}, 1.0).footprints[PRINT].bytes == 100


def test_service_times_come_from_seats_held_and_requests_ended() -> None:
    """Two seats, always taken, four requests a second in all: each holds its seat for half a second."""
    learning = Learning()
    for second in range(60):
        learning.watch(
            [Load(node="n1", model="m", in_flight=2, last_used=second)],
            [],
            [Arrival(at=second, key="k", model="m")] * 4,
            float(second),
        )
    assert learning.service_s()["m"] == pytest.approx(0.5, rel=0.05)


def test_those_who_join_the_line_have_not_ended() -> None:
    learning = Learning()
    for second in range(20):
        waiting = Line(model="m", waiting=3 * second, since=0, num_ctx=0, keys={}, priority=1)
        learning.watch(
            [Load(node="n1", model="m", in_flight=1, last_used=second)],
            [waiting],
            [Arrival(at=second, key="k", model="m")] * 4,
            float(second),
        )
    assert learning.service_s()["m"] == pytest.approx(1.0, rel=0.15)


def test_what_requests_say_counts_more_than_what_is_estimated() -> None:
    learning = Learning()
    learning.learn("m", service_s=10.0)
    learning.learn("m", service_s=20.0)
    assert learning.service_s() == {"m": pytest.approx(13.0)}

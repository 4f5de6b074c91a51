"""Reliability tables, on pairs whose answer is known."""

from __future__ import annotations

import pytest

from scheduler.replay.synthetic import switching
from tests.bench.calibration import reliability, said_and_came


def test_a_row_has_the_mean_of_what_was_said_and_the_share_that_came() -> None:
    pairs = [(0.25, True), (0.35, False), (0.3, False), (0.9, True)]
    table = reliability(pairs)
    low, high = table.rows
    assert (low.count, low.said, low.came) == (3, pytest.approx(0.3), pytest.approx(1 / 3))
    assert (high.count, high.came) == (1, 1.0)
    assert table.brier == pytest.approx((0.75**2 + 0.35**2 + 0.3**2 + 0.1**2) / 4)
    assert table.base == pytest.approx(0.25)


def test_nothing_predicted_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was predicted"):
        reliability([])


def test_chances_on_a_learned_cycle_beat_the_mean_and_come_true() -> None:
    table = reliability(said_and_came(switching(3, requests=3000), 30.0, 1))
    assert table.brier < 0.9 * table.base
    likely = [row for row in table.rows if row.said > 0.4]
    assert likely
    assert all(abs(row.said - row.came) < 0.15 for row in likely)

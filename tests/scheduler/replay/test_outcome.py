"""The figures of a replay, worked out by hand."""

from __future__ import annotations

import pytest

from scheduler.replay.outcome import Outcome, Record, fairness, middle, outcome, quantile
from tests.scheduler.replay.cast import trace

WAITS = "wait_mean_s wait_p50_s wait_p95_s wait_p99_s wait_max_s"
FIELDS = f"policy requests cold_share {WAITS} loads prefetches wasted jain"


def test_quantiles_are_by_nearest_rank() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [quantile(values, q) for q in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]
    assert quantile([7.0], 0.5) == 7.0


def test_fairness_is_one_when_keys_fare_alike_and_one_over_n_when_one_has_all() -> None:
    assert fairness([0, 1], [0.0, 0.0], [1.0, 5.0]) == 1.0
    assert fairness([0, 1], [3.0, 3.0], [1.0, 1.0]) == pytest.approx(1.0)
    assert fairness([0, 1], [0.0, 1e12], [1.0, 1.0]) == pytest.approx(0.5)


def test_the_json_has_the_promised_fields_and_no_others() -> None:
    rows = trace([(0.0, "k", "a"), (1.0, "k", "a")], {"a": 5.0})
    record = Record(waits=[4.0, 0.0], services=[1.0, 1.0], cold=bytearray([1, 0]), loads=1, path_s=4.0)
    figures = outcome("bridge", rows, record).as_json()
    assert list(figures) == FIELDS.split()
    assert (figures["cold_share"], figures["wait_mean_s"], figures["wait_max_s"]) == (0.5, 2.0, 4.0)


def test_the_middle_of_several_runs_is_the_median_of_each_figure() -> None:
    def one(cold: float, loads: int) -> Outcome:
        zero = dict.fromkeys(FIELDS.split()[3:8], 0.0)
        return Outcome(
            policy="p", requests=9, cold_share=cold, loads=loads, prefetches=0, wasted=0, jain=1.0, **zero
        )

    mid = middle([one(0.1, 30), one(0.3, 10), one(0.2, 20)])
    assert (mid.cold_share, mid.loads) == (0.2, 20)

"""How long a resident is worth keeping, by gaps with known answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policy.economy import EDGES_S, FEWEST, Gaps, Terms, advise, bin_of, cost, rounded_s

TERMS = Terms(rent=0.25, reload=20.0)


def test_short_gaps_are_kept_through_and_long_ones_are_not() -> None:
    keep = advise(Gaps.of([10.0] * 30 + [5000.0] * 10), TERMS)
    assert keep.learned
    assert keep.keep_s == pytest.approx(EDGES_S[bin_of(10.0)])
    # 30 gaps of 10 s kept; 10 times the keep time and a load.
    assert keep.cost == pytest.approx((30 * 2.5 + 10 * (0.25 * keep.keep_s + 20)) / 40)
    assert keep.cost_never == 20
    assert keep.cost_always == pytest.approx((30 * 2.5 + 10 * 1250) / 40)
    assert keep.cost_best == pytest.approx((30 * 2.5 + 10 * 20) / 40)


def test_gaps_that_are_all_long_say_let_it_go_at_once() -> None:
    keep = advise(Gaps.of([7200.0] * FEWEST), TERMS)
    assert (keep.keep_s, keep.cost) == (0.0, 20.0)


def test_gaps_that_are_all_short_say_keep_it_whatever_comes() -> None:
    keep = advise(Gaps.of([30.0] * 50), TERMS)
    assert keep.keep_s == pytest.approx(EDGES_S[bin_of(30.0)])
    assert keep.cost == keep.cost_always == 7.5


def test_few_gaps_are_answered_with_the_break_even() -> None:
    keep = advise(Gaps.of([10.0] * (FEWEST - 1)), TERMS)
    assert not keep.learned
    assert keep.keep_s == 80.0


def test_room_that_nobody_wants_costs_nothing_to_keep() -> None:
    keep = advise(Gaps.of([100.0] * 40), Terms(rent=0.0, reload=20.0))
    assert (keep.keep_s, keep.cost) == (None, 0.0)


def test_gaps_go_through_json_unchanged() -> None:
    gaps = Gaps.of([0.5, 3.25, 3.5, 900.0, 10**7])
    again = Gaps.from_json({bin_: (count, s) for bin_, (count, s) in gaps.as_json().items()})
    assert (again.counts, again.seconds) == (gaps.counts, gaps.seconds)
    assert again.total == 5


def test_keep_times_are_told_in_whole_minutes() -> None:
    assert (rounded_s(61.0), rounded_s(60.0), rounded_s(11.3)) == (120, 60, 12)


GAPS = st.lists(st.floats(0.01, 10**6), min_size=FEWEST, max_size=80)


@given(GAPS, st.floats(0.001, 1), st.floats(0.1, 600))
def test_no_other_edge_is_cheaper_and_nobody_is_worse_than_both_extremes(
    found: list[float], rent: float, reload: float
) -> None:
    gaps, terms = Gaps.of(found), Terms(rent=rent, reload=reload)
    keep = advise(gaps, terms)
    keep_s = math.inf if keep.keep_s is None else keep.keep_s
    least = cost(gaps, terms, keep_s)
    assert all(least <= cost(gaps, terms, edge) + 1e-6 for edge in EDGES_S)
    assert keep.cost <= min(keep.cost_always, keep.cost_never) + 1e-9
    assert keep.cost_best <= keep.cost + 1e-9
    exact = sum(rent * gap if gap <= keep_s else rent * keep_s + reload for gap in found)
    assert keep.cost * len(found) == pytest.approx(exact)

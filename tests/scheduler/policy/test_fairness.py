"""The fair order of a line, on its own."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policy.fairness import AGING_S, FairLine, finish_tag, virtual_now, weight


def drain(line: FairLine[str], now: float = 0.0) -> list[str]:
    order = []
    while len(line):
        turn = next(iter(line))
        line.serve(turn, now)
        order.append(turn.item)
    return order


def test_each_class_weighs_four_times_the_one_below() -> None:
    assert [weight(priority) for priority in (0, 1, 2)] == [1.0, 4.0, 16.0]


def test_virtual_time_moves_by_one_in_an_aging_time_and_never_back() -> None:
    assert virtual_now(2.0, 100.0, 100.0 + AGING_S) == 3.0
    assert virtual_now(2.0, 100.0, 50.0) == 2.0


def test_a_tag_follows_the_flows_last_one_or_the_virtual_time() -> None:
    assert finish_tag(1.0, 3.0, 0) == 4.0
    assert finish_tag(5.0, 3.0, 1) == 5.25


def test_backlogged_flows_share_by_weight() -> None:
    line: FairLine[str] = FairLine(0.0)
    for _ in range(340):
        for name, priority in (("low", 0), ("normal", 1), ("high", 2)):
            line.join(name, (name, priority), 0.0)
    shares = Counter(drain(line)[:210])
    assert [shares[name] for name in ("low", "normal", "high")] == [10, 40, 160]


def test_a_key_that_was_away_gains_nothing_by_it() -> None:
    line: FairLine[str] = FairLine(0.0)
    for _ in range(20):
        line.join("busy", ("busy", 1), 0.0)
    for _ in range(10):
        line.serve(next(iter(line)), 0.0)
    for _ in range(10):
        line.join("back", ("back", 1), 0.0)
    order = drain(line)
    assert all(abs(Counter(order[:n])["busy"] - Counter(order[:n])["back"]) <= 1 for n in range(20))


def test_those_who_come_back_stand_before_all_others_in_the_order_of_coming_back() -> None:
    line: FairLine[str] = FairLine(0.0)
    line.join("high", ("a", 2), 0.0)
    first = line.join_head("first back", ("b", 0))
    second = line.join_head("second back", ("c", 2))
    assert [line.position(first), line.position(second)] == [1, 2]
    assert drain(line) == ["first back", "second back", "high"]


def test_a_long_line_forgets_flows_that_wait_no_more() -> None:
    line: FairLine[str] = FairLine(0.0)
    line.join("stays", ("stays", 0), 0.0)
    for number in range(10_000):
        turn = line.join("passes", (f"key{number}", 2), 0.0)
        line.serve(turn, 0.0)
    assert len(line._last) < 200


ARRIVALS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from("abcdef"), st.integers(0, 2)),
        st.tuples(st.just("serve"), st.just(""), st.just(0)),
        st.tuples(st.just("time"), st.just(""), st.integers(1, 60)),
    ),
    max_size=150,
)


@given(ARRIVALS)
def test_no_order_of_arrival_makes_a_ticket_wait_for_more_than_its_bound(
    steps: list[tuple[str, str, int]],
) -> None:
    """Docstring (4): a flow of weight w passes the k-th ticket of a flow at most k * w / weight times."""
    now = 0.0
    line: FairLine[int] = FairLine(now)
    bound: dict[int, float] = {}  # per waiting ticket: its k / weight
    passes: dict[int, Counter[tuple[str, int]]] = {}
    ahead: Counter[tuple[str, int]] = Counter()  # waiting tickets per flow
    number = 0
    for kind, key, value in steps:
        if kind == "join":
            number += 1
            flow = (key, value)
            line.join(number, flow, now)
            ahead[flow] += 1
            bound[number] = ahead[flow] / weight(value)
            passes[number] = Counter()
        elif kind == "time":
            now += value
        elif len(line):
            turn = next(iter(line))
            line.serve(turn, now)
            ahead[turn.flow] -= 1
            del bound[turn.item], passes[turn.item]
            for earlier in (n for n in passes if n < turn.item):
                passes[earlier][turn.flow] += 1
                assert passes[earlier][turn.flow] <= bound[earlier] * weight(turn.flow[1]) + 1e-6


@given(ARRIVALS, st.integers(0, 2))
def test_positions_count_from_one_in_the_order_of_service(
    steps: list[tuple[str, str, int]], skip: int
) -> None:
    line: FairLine[int] = FairLine(0.0)
    for number, (kind, key, value) in enumerate(steps):
        if kind == "join":
            line.join(number, (key, value), float(number))
        elif len(line) > skip:
            line.leave(list(line)[skip])
    turns = list(line)
    assert [line.position(turn) for turn in turns] == list(range(1, len(turns) + 1))
    assert [turn.rank for turn in turns] == sorted(turn.rank for turn in turns)


def test_a_weight_is_positive_for_any_priority() -> None:
    assert weight(-3) == pytest.approx(1 / 64)

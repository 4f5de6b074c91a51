"""The bridge in simulated time, on traces short enough to work out by hand.

Models of 10 GB load in 1.5 + 5 s; 100 tokens of a 10 GB model take 100 / 54 s; decoding is capped at 150/s.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.policy.config import GB
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.gateway import Gateway, next_models
from scheduler.replay.outcome import Record
from scheduler.replay.policies import LRU, ON_DEMAND
from scheduler.replay.trace import Trace
from tests.scheduler.replay.cast import trace

LOAD_S = 6.5
SERVICE_S = 100 / 54


def replay(rows: Trace, nodes: str = "1x48", **fields: object) -> Record:
    timing = Timing()
    config = replace(ON_DEMAND, **fields)  # type: ignore[arg-type]
    return Gateway(rows, parse(nodes, timing), timing, config).run()


def test_the_first_request_waits_for_the_load_and_the_second_does_not() -> None:
    record = replay(trace([(0.0, "k", "a"), (20.0, "k", "a")], {"a": 10}))
    assert record.waits == [LOAD_S, 0.0]
    assert list(record.cold) == [1, 0]
    assert (record.loads, record.path_s) == (1, LOAD_S)


def test_requests_that_come_during_a_load_share_it() -> None:
    record = replay(trace([(0.0, "k", "a"), (2.0, "l", "a"), (6.0, "k", "a")], {"a": 10}))
    assert record.waits == pytest.approx([6.5, 4.5, 0.5])
    assert (record.loads, sum(record.cold)) == (1, 3)


def test_a_fifth_request_waits_for_one_of_four_slots() -> None:
    record = replay(trace([(0.0, "k", "a")] * 5, {"a": 10}))
    assert record.waits == pytest.approx([6.5] * 4 + [6.5 + SERVICE_S])


def test_an_idle_model_makes_room_at_once_and_the_least_recently_used_goes() -> None:
    rows = [(0.0, "k", "a"), (20.0, "k", "b"), (40.0, "k", "c"), (60.0, "k", "b")]
    record = replay(trace(rows, {"a": 10, "b": 10, "c": 10}), nodes="1x20")
    assert record.waits == [6.5, 6.5, 6.5, 0.0]
    assert record.loads == 3


def test_a_busy_model_is_waited_for_and_drained_after_the_bound() -> None:
    rows = [(float(i), "k", "a") for i in range(150)] + [(10.5, "l", "b")]
    rows.sort()
    record = replay(trace(rows, {"a": 10, "b": 10}), nodes="1x12")
    wait = record.waits[rows.index((10.5, "l", "b"))]
    assert 60 - 2 * LOAD_S < wait <= 60  # drain and load included
    unbounded = replay(trace(rows, {"a": 10, "b": 10}), nodes="1x12", line_bound_s=1e9)
    assert unbounded.waits[rows.index((10.5, "l", "b"))] > 100


def test_a_long_line_gets_a_second_node() -> None:
    rows = trace([(0.1 * i, "k", "a") for i in range(200)], {"a": 10})
    assert replay(rows, nodes="1x12").loads == 1
    spread = replay(rows, nodes="2x12")
    assert spread.loads == 2
    assert max(spread.waits) < max(replay(rows, nodes="1x12").waits)


def test_every_request_is_served_once_whatever_the_policy() -> None:
    rows = trace([(i * 0.7, f"k{i % 3}", "abcde"[i * 7 % 5]) for i in range(400)], dict.fromkeys("abcde", 10))
    for config in (LRU, ON_DEMAND, replace(ON_DEMAND, line_bound_s=5.0)):
        timing = Timing()
        gateway = Gateway(rows, parse("1x24", timing), timing, config)
        record = gateway.run()
        assert all(w >= 0 for w in record.waits)
        assert not gateway.lines
        assert all(r.in_flight == 0 for r in gateway.residents.values())
        assert sum(r.bytes for r in gateway.residents.values()) <= 24 * GB


def test_a_hint_is_the_next_model_of_the_same_key() -> None:
    rows = trace(
        [(0.0, "k", "a"), (1.0, "l", "b"), (2.0, "k", "c"), (3.0, "l", "a")], dict.fromkeys("abc", 5)
    )
    assert [[hint.model for hint in said] for said in next_models(rows)] == [["c"], ["a"], [], []]

"""Ollama's rules as the replay models them, on traces short enough to work out by hand."""

from __future__ import annotations

from scheduler.replay.fleet import Timing, parse
from scheduler.replay.ollama import OllamaFleet
from scheduler.replay.outcome import Record
from scheduler.replay.trace import Trace
from tests.scheduler.replay.cast import trace


def replay(rows: Trace, nodes: str = "1x48", names_seed: int = 0) -> Record:
    timing = Timing()
    return OllamaFleet(rows, parse(nodes, timing), timing, names_seed=names_seed).run()


def test_a_model_is_unloaded_after_five_minutes() -> None:
    record = replay(trace([(0.0, "k", "a"), (250.0, "k", "a"), (600.0, "k", "a")], {"a": 10}))
    assert list(record.cold) == [1, 0, 1]
    assert record.loads == 2


def test_at_most_three_are_loaded_and_the_victim_is_not_the_least_recently_used() -> None:
    rows = [(20.0 * i, "k", m) for i, m in enumerate("abcd")]
    colds = set()
    for seed in range(8):
        record = replay(trace([*rows, (100.0, "k", "a")], dict.fromkeys("abcd", 2)), names_seed=seed)
        assert record.loads in (4, 5)
        colds.add(record.cold[4])
    assert colds == {0, 1}  # it depends on the order of names alone


def test_the_head_of_the_queue_holds_up_what_stands_behind_it() -> None:
    busy = [(float(i), "k", "a") for i in range(100)]
    rows = sorted([*busy, (10.5, "l", "b"), (11.5, "m", "c")])
    record = replay(trace(rows, {"a": 10, "b": 40, "c": 2}), nodes="1x48")
    b, c = (rows.index(r) for r in ((10.5, "l", "b"), (11.5, "m", "c")))
    assert record.waits[b] > 80  # the busy victim is given work all the while
    assert record.waits[c] > 80  # though it would have fitted beside the victim


def test_each_model_has_a_home_among_several_nodes() -> None:
    rows = trace([(i * 30.0, "k", "ab"[i % 2]) for i in range(10)], {"a": 10, "b": 10})
    assert replay(rows, nodes="2x12").loads == 2
    assert replay(rows, nodes="1x12").loads == 10

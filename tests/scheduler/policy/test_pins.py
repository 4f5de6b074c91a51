"""Pins: windows on the wall clock, what they protect, and policies that cannot be kept together."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from scheduler.policy.config import GB
from scheduler.policy.pins import Policy, Window, contradictions, minute_of_week, protected, resolve
from scheduler.policy.state import Pin
from tests.scheduler.policy.cast import model, resident

BERLIN = ZoneInfo("Europe/Berlin")
WORK = tuple(Window(start=d * 1440 + 8 * 60, end=d * 1440 + 18 * 60) for d in range(5))


def at(*date: int) -> float:
    return datetime(*date, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type,misc]


def test_a_window_is_open_by_the_wall_clock_in_summer_and_in_winter() -> None:
    policy = Policy(name="work", model="a:latest", windows=WORK, zone="Europe/Berlin")
    for month in (1, 7):  # UTC differs by an hour between them
        monday = next(d for d in range(1, 8) if datetime(2026, month, d, tzinfo=BERLIN).weekday() == 0)
        assert not policy.is_open(at(2026, month, monday, 7, 59))
        assert policy.is_open(at(2026, month, monday, 8, 0))
        assert policy.is_open(at(2026, month, monday, 17, 59))
        assert not policy.is_open(at(2026, month, monday, 18, 0))
        assert not policy.is_open(at(2026, month, monday + 5, 12, 0))


def test_a_window_may_run_over_the_end_of_the_week() -> None:
    night = Window(start=6 * 1440 + 22 * 60, end=6 * 60)  # Sunday 22:00 to Monday 06:00
    assert night.is_open(6 * 1440 + 23 * 60)
    assert night.is_open(3 * 60)
    assert not night.is_open(7 * 60)


def test_a_window_as_long_as_the_week_is_always_open_and_so_is_none_at_all() -> None:
    assert all(Window(start=90, end=90).is_open(minute) for minute in (0, 89, 90, 91, 10_079))
    assert Policy(name="p", model="a").is_open(0.0)


def test_the_minute_of_the_week_counts_from_monday() -> None:
    assert minute_of_week(at(2026, 11, 23, 0, 5), "Europe/Berlin") == 5  # a Monday
    with pytest.raises(ZoneInfoNotFoundError):
        minute_of_week(0.0, "Mars/Olympus")


def test_policies_resolve_to_models_and_nodes_by_their_globs_highest_priority_first() -> None:
    policies = [
        Policy(name="low", model="llama*", nodes=("gpu*",)),
        Policy(name="high", model="qwen3:8b", priority=5, min_replicas=2),
        Policy(name="closed", model="*", windows=(Window(start=0, end=1),)),
    ]
    noon = at(2026, 11, 25, 12, 0)
    pins = resolve(policies, ["llama3.2:latest", "qwen3:8b"], ["gpu1", "gpu2", "cpu"], noon)
    assert [(p.name, p.model, p.min_replicas) for p in pins] == [
        ("high", "qwen3:8b", 2),
        ("low", "llama3.2:latest", 1),
    ]
    assert pins[0].nodes is None
    assert pins[1].nodes == {"gpu1", "gpu2"}


def test_a_pin_protects_as_many_as_it_wants_the_busy_first() -> None:
    a = model("a", nodes=("n1", "n2", "n3"))
    there = {"a": [resident(a, "n1"), resident(a, "n2", in_flight=2), resident(a, "n3")]}
    assert protected([Pin(model="a")], there) == {("n2", "a")}
    assert len(protected([Pin(model="a", min_replicas=2)], there)) == 2
    assert protected([Pin(model="a", nodes=frozenset(["n3"]))], there) == {("n3", "a")}


NEEDS = {"a": 20 * GB, "b": 20 * GB, "c": 5 * GB}
BUDGETS = {"n1": 24 * GB, "n2": 24 * GB}
EVERYWHERE = {name: {"n1", "n2"} for name in NEEDS}


def test_policies_that_fit_together_contradict_nothing() -> None:
    policies = [Policy(name="pa", model="a"), Policy(name="pb", model="b")]
    assert contradictions(policies, NEEDS, BUDGETS, EVERYWHERE, at(2026, 11, 25, 12, 0)) == []


def test_policies_that_want_one_node_s_room_twice_are_explained() -> None:
    policies = [Policy(name="pa", model="a", nodes=("n1",)), Policy(name="pb", model="b", nodes=("n1",))]
    [problem] = contradictions(policies, NEEDS, BUDGETS, EVERYWHERE, at(2026, 11, 25, 12, 0))
    assert "pb wants b (20.0 GB) on n1" in problem
    assert "leave 4.0 GB" in problem


def test_a_contradiction_that_comes_later_in_the_week_is_found_now() -> None:
    policies = [
        Policy(name="pa", model="a", nodes=("n1",)),
        Policy(name="pb", model="b", nodes=("n1",), windows=(WORK[4],), zone="Europe/Berlin"),
    ]
    saturday = at(2026, 11, 28, 12, 0)
    assert contradictions(policies, NEEDS, BUDGETS, EVERYWHERE, saturday)
    assert not contradictions(policies[:1], NEEDS, BUDGETS, EVERYWHERE, saturday)


def test_more_replicas_than_nodes_that_have_the_model_are_explained() -> None:
    [problem] = contradictions(
        [Policy(name="p", model="c", min_replicas=2)], NEEDS, BUDGETS, {"c": {"n1"}}, at(2026, 11, 25, 12, 0)
    )
    assert problem == "p wants 2 of c, but 1 of its nodes have it."

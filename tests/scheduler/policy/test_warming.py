"""Which prefixes are replayed where, and what a request gained by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from scheduler.policy.state import Action, Line, Node, Profile, Resident
from scheduler.policy.view import View
from scheduler.policy.warming import Done, Read, Replayed, gained, warms
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, resident, state

A, B = model("a"), model("b")
FOUR_SLOTS = resident(A)
LOADED_AT = FOUR_SLOTS.loaded_at
PREFIX = {"a": [1]}


def chosen(
    residents: Iterable[Resident] = (FOUR_SLOTS,),
    lines: Iterable[Line] = (),
    *,
    on: Node | None = None,
    prefixes: Mapping[str, Sequence[int]] = PREFIX,
    done: Done | None = None,
    warming: frozenset[str] = frozenset(),
) -> list[tuple[str, int]]:
    view = View(state([on or node()], [A, B], residents, lines), NOW, EXACT)
    return [(warm.model, warm.prefix) for warm in warms(view, prefixes, done or {}, warming)]


def test_an_idle_resident_replays_its_prefix() -> None:
    assert chosen() == [("a", 1)]
    assert chosen(prefixes={}) == []


@pytest.mark.parametrize(
    ("slots", "in_flight", "may"), [(1, 0, 0), (2, 0, 1), (2, 1, 0), (4, 2, 1), (4, 3, 0)]
)
def test_never_on_the_last_free_slot(slots: int, in_flight: int, may: int) -> None:
    there = resident(A, profile=Profile(num_ctx=8192, slots=slots), in_flight=in_flight)
    assert len(chosen([there])) == may


def test_demand_goes_first() -> None:
    assert chosen(lines=[line("b")]) == [], "its load may begin on this node"
    assert chosen(lines=[line("a")]) == []
    assert chosen([resident(A), resident(B)], [line("b")]) == [("a", 1)], "b has its own slots"


def test_not_where_the_node_is_busy_or_being_emptied_or_replays_already() -> None:
    assert chosen(on=node(busy_with=Action(kind="load", model="b", since=NOW))) == []
    assert chosen(on=node(draining=True)) == []
    assert chosen([resident(A, accepting=False)]) == []
    assert chosen(warming=frozenset({"n1"})) == []
    both = [resident(A), resident(B)]
    assert len(chosen(both, prefixes={"a": [1], "b": [2]})) == 1


def test_each_prefix_once_for_each_stay() -> None:
    assert chosen(done={("n1", "a"): (LOADED_AT, {1})}) == []
    assert chosen(done={("n1", "a"): (LOADED_AT - 100, {1})}) == [("a", 1)], "it was loaded anew"


def test_fewer_prefixes_than_slots_the_most_used_first() -> None:
    many = {"a": [5, 4, 3, 2]}
    assert chosen(prefixes=many) == [("a", 5)]
    assert chosen(prefixes=many, done={("n1", "a"): (LOADED_AT, {5, 4})}) == [("a", 3)]
    assert chosen(prefixes=many, done={("n1", "a"): (LOADED_AT, {5, 4, 3})}) == []


def read(prompt: int, cached: int, seconds: float) -> Read:
    return Read(prompt_tokens=prompt, cached_tokens=cached, seconds=seconds)


@pytest.mark.parametrize(
    ("reads", "saved_s"),
    [
        ([read(1100, 1000, 0.1)], 1.0),  # the whole prefix, at a thousand tokens a second
        ([read(3000, 2500, 0.5)], 1.0),  # more was cached than the prefix: a conversation's own
        ([read(1100, 600, 0.5)], 0.6),
        ([read(1100, 100, 1.0)], None),  # something short that all prompts begin with
        ([read(1100, 0, 0.1)], 1.0),  # a node that does not say: 1.1 s were to be expected
        ([read(1100, 0, 1.1), read(1200, 0, 0.2)], 1.0),
        ([read(1100, 0, 1.0)], None),
        ([], None),
    ],
)
def test_what_a_request_gained(reads: list[Read], saved_s: float | None) -> None:
    assert gained(Replayed(tokens=1000, seconds=1.0), reads) == pytest.approx(saved_s)

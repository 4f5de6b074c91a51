"""The search finds the cheapest fleet that meets the target, and replays few others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.planning.estimate import Candidate
from scheduler.planning.fleet import Kind
from scheduler.planning.search import Bracket, Search, Target, all_met, prepared
from tests.scheduler.planning.cast import CHEAP, QUICK, SMALL, estimate, fleet, waits

TARGET = (Target(figure="wait_p95_s", seconds=2.0),)


def needs(**counts: int) -> dict[str, int]:
    """The least count of each type that meets the target."""
    return counts


def searched(least: dict[str, int], kinds: list[Kind], jobs: int = 1) -> tuple[Search, list[Candidate]]:
    asked: list[Candidate] = []
    search = prepared([(kind, 1) for kind in kinds], ["bridge"], TARGET, 16)
    run = waits(lambda c: 1.0 if c.fleet.count >= least[c.fleet.kind.name] else 5.0, asked)
    return search.run(run, jobs), asked


def best(search: Search) -> str:
    return str(search.best.candidate.fleet) if search.best else ""


def test_the_least_count_is_found_by_halving() -> None:
    search, asked = searched(needs(cheap=5), [CHEAP])
    assert best(search) == "5x cheap"
    assert [c.fleet.count for c in asked] == [16, 8, 4, 6, 5]


def test_a_type_that_cannot_be_cheaper_is_hardly_replayed() -> None:
    search, asked = searched(needs(cheap=5, quick=2), [CHEAP, QUICK])
    assert best(search) == "5x cheap"
    assert [c for c in asked if c.fleet.kind is QUICK] == []
    search, asked = searched(needs(cheap=12, quick=2), [CHEAP, QUICK])
    assert best(search) == "2x quick"
    assert [c.fleet.count for c in asked if c.fleet.kind is QUICK] == [3, 1, 2]  # 4 cost more than 16 cheap


def test_a_type_that_never_meets_the_target_is_replayed_once() -> None:
    search, asked = searched(needs(cheap=99, quick=3), [CHEAP, QUICK])
    assert best(search) == "3x quick"
    assert [c.fleet.count for c in asked if c.fleet.kind is CHEAP] == [16]


def test_nothing_is_recommended_where_nothing_meets_the_target() -> None:
    search, asked = searched(needs(cheap=99, quick=99), [CHEAP, QUICK])
    assert search.best is None
    assert len(asked) == 2
    assert search.as_json()["best"] is None


kinds = st.integers(1, 8).map(
    lambda n: [
        Kind(name=f"k{i}", vram_gb=24, load_gbps=2, speed=1, usd_per_hour=0.1 + 0.07 * i * i)
        for i in range(n)
    ]
)


@given(kinds, st.data())
def test_the_answer_is_that_of_trying_all_of_them(chosen: list[Kind], data: st.DataObject) -> None:
    least = {kind.name: data.draw(st.integers(1, 20)) for kind in chosen}
    there = [(least[k.name] * k.usd_per_hour * 730, f"{least[k.name]}x {k.name}") for k in chosen]
    wanted = min((pair for pair in there if int(pair[1].partition("x")[0]) <= 16), default=None)
    for jobs in (1, 3):
        search, asked = searched(least, chosen, jobs)
        assert (search.best.usd_per_month if search.best else None) == (wanted and pytest.approx(wanted[0]))
        assert len(asked) == len(set(asked)) <= 5 * len(chosen)


def test_everything_is_replayed_when_asked_for() -> None:
    asked: list[Candidate] = []
    search = prepared([(CHEAP, 2), (SMALL, None)], ["bridge", "lru"], TARGET, 4, everything=True)
    assert search.left() == 6
    search.run(waits(lambda c: 9.0 / c.fleet.count, asked), 4)
    assert [(c.fleet.count, c.policy) for c in asked] == [
        (n, p) for p in ("bridge", "lru") for n in (2, 3, 4)
    ]
    assert search.out == ["small"]
    assert search.left() == 0


def test_the_frontier_has_what_nothing_cheaper_equals() -> None:
    search = prepared([(CHEAP, 1)], ["bridge"], TARGET, 16)
    for count, wait in ((1, 9.0), (2, 4.0), (3, 4.0), (4, 5.0), (5, 0.0)):
        search.found.append(estimate(Candidate(fleet=fleet(CHEAP, count), policy="bridge"), wait))
    assert [e.candidate.fleet.count for e in search.frontier()] == [1, 2, 5]


def test_every_target_must_be_met() -> None:
    found = estimate(Candidate(fleet=fleet(CHEAP, 1), policy="bridge"), 3.0)
    strict = Target(figure="ttft_p99_s", seconds=2.0)
    loose = Target(figure="wait_p50_s", seconds=3.0)
    assert all_met([loose], found)
    assert not all_met([loose, strict], found)
    assert str(strict) == "p99 TTFT at most 2 s"


def test_what_may_be_left_to_do_never_grows() -> None:
    bracket = Bracket(kind=CHEAP, policy="bridge", fails=0, most=16)
    lefts = [bracket.left()]
    while (count := bracket.next(float("inf"))) is not None:
        bracket.learn(count, met=count >= 11)
        lefts.append(bracket.left())
    assert lefts == sorted(lefts, reverse=True)
    assert (lefts[-1], bracket.meets) == (0, 11)

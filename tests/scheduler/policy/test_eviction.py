"""Which residents go: the cheapest subset that frees enough, by regret worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.policy import eviction
from scheduler.policy.config import GB, Config
from scheduler.policy.state import Pin, Resident
from scheduler.policy.view import View
from tests.scheduler.policy.cast import EXACT, NOW, model, node, resident, state


class Chances:
    """A forecast that was told the answers."""

    def __init__(self, chances: dict[str, float]) -> None:
        self.given = chances

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        return self.given[model]


def view(
    sizes: dict[str, float], chances: dict[str, float], config: Config = EXACT, **fields: object
) -> View:
    models = [model(name, gb) for name, gb in sizes.items()]
    shown = state([node(gb=100)], models, [resident(m, **fields) for m in models])
    shown.forecast = Chances(chances)
    return View(shown, NOW, config)


def goes(v: View, gb: float, **options: object) -> set[str] | None:
    n = v.state.nodes["n1"]
    victims = eviction.choose(v, n, int(gb * GB), for_model="new", **options)  # type: ignore[arg-type]
    return None if victims is None else set(victims.models)


def test_one_large_unlikely_model_goes_rather_than_two_likely_ones() -> None:
    v = view({"a": 10, "b": 5, "c": 5}, {"a": 0.1, "b": 0.3, "c": 0.3})
    assert goes(v, 10) == {"a"}


def test_two_small_unlikely_ones_go_rather_than_one_likely_large_one() -> None:
    v = view({"a": 10, "b": 5, "c": 5}, {"a": 0.9, "b": 0.1, "c": 0.1})
    assert goes(v, 10) == {"b", "c"}


def test_nothing_goes_that_is_not_needed() -> None:
    v = view({"a": 10, "b": 5}, {"a": 0.0, "b": 0.0})
    assert goes(v, 0) == set()
    assert goes(v, 4) in ({"a"}, {"b"})


def test_when_all_that_may_go_is_too_little_none_goes() -> None:
    assert goes(view({"a": 10, "b": 5}, {"a": 0, "b": 0}), 16) is None


def test_regret_is_chance_times_seconds_of_the_load_over_all_horizons() -> None:
    v = view({"a": 10}, {"a": 0.5})
    [a] = v.state.residents.values()
    assert eviction.regret(v, a, (60.0, 300.0)) == pytest.approx(2 * 0.5 * 6.5)


def test_a_replica_is_worth_a_tenth() -> None:
    a = model("a", 10, nodes=("n1", "n2"))
    shown = state([node("n1"), node("n2")], [a], [resident(a, "n1"), resident(a, "n2")])
    shown.forecast = Chances({"a": 0.5})
    v = View(shown, NOW, EXACT)
    assert eviction.regret(v, shown.residents["n1", "a"], (60.0,)) == pytest.approx(0.1 * 0.5 * 6.5)


def test_pinned_and_busy_ones_and_those_that_drain_for_another_stay() -> None:
    v = view({"a": 10, "b": 10, "c": 10, "d": 10}, dict.fromkeys("abcd", 0.0))
    residents = v.state.residents
    residents["n1", "b"].in_flight = 1
    residents["n1", "c"].accepting, residents["n1", "c"].wanted_by = False, "other"
    v.state.pins = [Pin(model="a")]
    v = View(v.state, NOW, EXACT)
    assert goes(v, 10) == {"d"}
    assert goes(v, 20) is None
    assert goes(v, 20, busy=True) == {"b", "d"}


def test_a_model_just_loaded_stays_its_minimum_residency() -> None:
    config = replace(EXACT, min_residency_s=5.0)
    assert goes(view({"a": 10}, {"a": 0.0}, config, loaded_at=NOW - 4), 10) is None
    assert goes(view({"a": 10}, {"a": 0.0}, config, loaded_at=NOW - 5), 10) == {"a"}


def test_a_turn_is_at_most_half_of_what_a_line_waits() -> None:
    busy = {"in_flight": 1, "load_s": 60.0}
    fresh = view({"a": 10}, {"a": 0.0}, loaded_at=NOW - EXACT.line_bound_s / 2 + 1, **busy)
    assert goes(fresh, 10, busy=True) is None
    assert goes(view({"a": 10}, {"a": 0.0}, loaded_at=NOW - EXACT.line_bound_s / 2, **busy), 10, busy=True)


def test_a_busy_model_has_its_turn_before_it_drains() -> None:
    busy = {"in_flight": 1, "load_s": 2.0}
    fresh = view({"a": 10}, {"a": 0.0}, loaded_at=NOW - 2 * EXACT.quantum_loads + 1, **busy)
    assert goes(fresh, 10, busy=True) is None
    served = view({"a": 10}, {"a": 0.0}, loaded_at=NOW - 2 * EXACT.quantum_loads, **busy)
    assert goes(served, 10, busy=True) == {"a"}


def test_without_a_forecast_the_least_recently_used_goes() -> None:
    a, b = model("a", 10), model("b", 10)
    there = [resident(a, last_used=NOW - 5), resident(b, last_used=NOW - 50)]
    for config in (EXACT, replace(EXACT, eviction="order")):
        v = View(state([node()], [a, b], there), NOW, config)
        assert goes(v, 10) == {"b"}


OFFERS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(offers=OFFERS, share=st.floats(0.05, 1.0))
def test_the_exact_choice_is_the_cheapest_of_all_subsets(offers: list[tuple[int, int]], share: float) -> None:
    sizes = {f"m{i}": float(gb) for i, (_, gb) in enumerate(offers)}
    chances = {f"m{i}": worth / 50 / (1.5 + gb / 2) for i, (worth, gb) in enumerate(offers)}
    v = view(sizes, chances)
    wanted = int(share * sum(sizes.values()) * GB)
    victims = eviction.choose(v, v.state.nodes["n1"], wanted, for_model="new")
    assert victims is not None
    assert victims.regret_s == pytest.approx(_cheapest(v, wanted))


def _cheapest(v: View, wanted: int) -> float:
    """By brute force."""
    residents: list[Resident] = list(v.state.residents.values())
    best = float("inf")
    for mask in range(1 << len(residents)):
        chosen = [r for i, r in enumerate(residents) if mask >> i & 1]
        if sum(r.bytes for r in chosen) >= wanted:
            best = min(best, sum(eviction.regret(v, r, EXACT.horizons_s) for r in chosen))
    return best


def test_among_many_the_greedy_choice_frees_enough_and_nothing_superfluous() -> None:
    sizes = {f"m{i:02d}": 2.0 + i % 7 for i in range(30)}
    v = view(sizes, {name: (i * 37 % 11) / 11 for i, name in enumerate(sizes)})
    chosen = goes(v, 25)
    assert chosen is not None
    assert sum(sizes[m] for m in chosen) >= 25
    assert all(sum(sizes[m] for m in chosen) - sizes[m] < 25 for m in chosen)

"""The value rule of prefetch, on cases made by hand: chance x load seconds against what would go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from scheduler.policy.account import Account
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.hints import Hint
from scheduler.policy.prefetch import horizon, propose
from scheduler.policy.state import Action, Line, Model, Node, Pin, Resident
from scheduler.policy.view import View
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, resident, state

CONFIG = replace(EXACT, prefetch_margin=2.0, prefetch_chance=0.1, prefetch_cost=0.02)
A, B = model("a", 10), model("b", 10)


class Told:
    """A predictor that was told the answers; it forecasts what is kept, too."""

    def __init__(self, chances: Mapping[str, float]) -> None:
        self.given = chances

    def observe(self, at: float, key: str, model: str, said: Sequence[Hint] = (), session: str = "") -> None:
        raise AssertionError("propose only asks")

    def following(self, key: str, session: str = "") -> Mapping[str, float]:
        return self.given

    def chances(self, now: float, horizon_s: float, steps: int) -> Mapping[str, float]:
        return self.given

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        return self.given.get(model, 0.0)


def proposed(
    chances: Mapping[str, float],
    *,
    nodes: list[Node] | None = None,
    models: list[Model] | None = None,
    residents: list[Resident] | None = None,
    lines: list[Line] | None = None,
    pins: list[Pin] | None = None,
    config: Config = CONFIG,
    caution: float = 1.0,
) -> list[Load]:
    shown = state(nodes or [node(gb=20)], models or [A, B], residents or [], lines or [], pins=pins or [])
    told = Told(chances)
    shown.forecast = told
    account = Account(config)
    account.caution = caution
    return propose(View(shown, NOW, config), told, account).loads


def test_into_free_vram_a_small_chance_is_enough() -> None:
    [load] = proposed({"a": 0.1})
    assert (load.model, load.cause, load.evict) == ("a", "prefetch", ())
    assert "10%" in load.reason
    assert not proposed({"a": 0.09})


def test_over_a_warm_model_the_gain_must_exceed_the_margin_times_the_harm() -> None:
    there = [resident(B)]
    full = [node(gb=12)]
    # Both load in 6.5 s: 0.5 x 6.5 > 2 x 0.2 x 6.5 + 0.02 x 6.5, but not 2 x 0.25 x 6.5.
    [load] = proposed({"a": 0.5, "b": 0.2}, nodes=full, residents=there)
    assert load.evict == ("b",)
    assert not proposed({"a": 0.5, "b": 0.25}, nodes=full, residents=there)


def test_what_delays_others_is_worth_less() -> None:
    # a alone: 0.1 x 6.5 - 0.02 x 6.5 = 0.52 s. With c expected at 0.6 within 30 s, 0.6 / 30 x 6.5 s = 0.13 of
    # the loads have somebody else wait half of 6.5 s: 0.9 x 0.13 x 3.25 = 0.38 s. With c and d it is 0.76 s.
    names = ("n1", "n2")
    others = [model(name, 60, nodes=names) for name in "cd"]  # which fit nowhere
    models = [model("a", 10, nodes=names), *others]
    assert proposed({"a": 0.1, "c": 0.6}, models=models)
    assert not proposed({"a": 0.1, "c": 0.6, "d": 0.6}, models=models)
    # Another idle node would take half of them.
    both = [node(name, 20) for name in names]
    assert proposed({"a": 0.1, "c": 0.6, "d": 0.6}, models=models, nodes=both)


def test_caution_raises_both_the_margin_and_the_least_chance() -> None:
    assert not proposed({"a": 0.3}, caution=4.0)
    assert proposed({"a": 0.4}, caution=4.0)
    there, full = [resident(B)], [node(gb=12)]
    assert proposed({"a": 0.9, "b": 0.2}, nodes=full, residents=there, caution=2.0)
    assert not proposed({"a": 0.9, "b": 0.2}, nodes=full, residents=there, caution=3.0)


def test_while_a_cold_line_waits_nothing_is_prefetched() -> None:
    assert not proposed({"a": 0.9}, lines=[line("b")])
    served = proposed({"a": 0.9}, lines=[line("b")], residents=[resident(B, in_flight=4)])
    assert [load.model for load in served] == ["a"]


def test_nothing_pinned_and_nothing_busy_goes_for_a_prefetch() -> None:
    full = [node(gb=12)]
    assert not proposed({"a": 0.9}, nodes=full, residents=[resident(B, in_flight=1)])
    assert not proposed({"a": 0.9}, nodes=full, residents=[resident(B)], pins=[Pin(model="b")])


def test_what_is_resident_or_loading_somewhere_is_not_prefetched() -> None:
    assert not proposed({"a": 0.9}, residents=[resident(A)])
    two = [node("n1"), node("n2", busy_with=Action(kind="load", model="a", since=NOW))]
    assert not proposed({"a": 0.9}, nodes=two, models=[model("a", nodes=("n1", "n2"))])


@pytest.mark.parametrize(
    "fields",
    [
        {"healthy": False},
        {"draining": True},
        {"quarantined_until": NOW + 1},
        {"busy_with": Action(kind="evict", model="b", since=NOW)},
    ],
)
def test_only_a_node_that_is_idle_and_well_prefetches(fields: dict[str, object]) -> None:
    assert not proposed({"a": 0.9}, nodes=[node(**fields)])  # type: ignore[arg-type]


def test_where_nobody_knows_the_vram_nothing_is_put_beside_others() -> None:
    unknown = [node(gb=1e9, vram_known=False)]
    assert proposed({"a": 0.9}, nodes=unknown)
    assert not proposed({"a": 0.9}, nodes=unknown, residents=[resident(B)])


def test_each_idle_node_takes_one_the_most_seconds_first() -> None:
    names = ("n1", "n2")
    models = [model("a", 10, nodes=names), model("b", 4, nodes=names), model("c", 20, nodes=names)]
    loads = proposed({"a": 0.5, "b": 0.6, "c": 0.5}, nodes=[node(n, 24) for n in names], models=models)
    assert [load.model for load in loads] == ["c", "a"]  # 5.75 s, 3.25 s; b has 2.1 s
    assert len({load.node for load in loads}) == 2


def test_a_model_that_is_switched_off_is_not_prefetched() -> None:
    assert not proposed({"a": 0.9}, models=[model("a", prefetch=False), B])
    assert not proposed({"a": 0.9}, config=replace(CONFIG, prefetch="off"))


def test_the_original_rule_takes_sixty_per_cent_whatever_goes() -> None:
    config = replace(CONFIG, prefetch="confidence", eviction="order")
    there, full = [resident(B)], [node(gb=12)]
    assert proposed({"a": 0.6, "b": 0.9}, nodes=full, residents=there, config=config)
    assert not proposed({"a": 0.59}, nodes=full, residents=there, config=config)


def test_the_horizon_is_three_loads_at_least() -> None:
    assert [horizon(30.0, s) for s in (5, 10, 11, 30)] == [30.0, 30.0, 60.0, 120.0]

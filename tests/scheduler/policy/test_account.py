"""The account of prefetches: how each ended, in seconds, and what follows from that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.policy.account import (
    FEWEST,
    FIRST_CAUTION,
    HARM_S,
    MOST_CAUTION,
    OFF_S,
    SHADOW_S,
    Account,
    Ending,
)
from scheduler.policy.config import Config

CONFIG = Config()


def begun(victims: dict[str, float] | None = None, **fields: object) -> Account:
    account = Account(CONFIG)
    account.started("n1", "a", 100.0, 5.0, victims or {}, **fields)  # type: ignore[arg-type]
    return account


def only(endings: list[Ending]) -> tuple[str, float]:
    [ending] = endings
    return ending.kind, ending.seconds


def test_a_request_after_the_load_is_a_hit_that_hid_the_whole_load() -> None:
    assert only(begun().arrived("a", 105.0)) == ("hit", 5.0)


def test_a_request_during_the_load_is_late_and_hid_a_part() -> None:
    assert only(begun().arrived("a", 102.0)) == ("late", 2.0)


def test_an_eviction_before_anybody_came_is_waste() -> None:
    kind, seconds = only(begun().evicted("n1", "a", 500.0))
    assert kind == "wasted"
    assert seconds == pytest.approx(-CONFIG.prefetch_cost * 5.0)


def test_what_went_and_was_asked_for_first_makes_it_harmful_though_it_is_used_later() -> None:
    account = begun({"v": 8.0})
    assert account.arrived("v", 110.0) == []
    assert only(account.arrived("a", 120.0)) == ("harmful", 5.0 - 8.0)


def test_a_cheap_victim_does_not_outweigh_what_was_saved() -> None:
    account = begun({"v": 2.0})
    account.arrived("v", 110.0)
    assert only(account.arrived("a", 120.0)) == ("hit", 3.0)


def test_a_victim_asked_for_long_after_would_have_gone_anyway() -> None:
    account = begun({"v": 8.0})
    account.arrived("v", 100.0 + HARM_S + 1)
    assert only(account.arrived("a", 300.0)) == ("hit", 5.0)


def test_each_prefetch_ends_once() -> None:
    account = begun({"v": 8.0})
    account.arrived("a", 110.0)
    assert account.arrived("a", 111.0) == []
    assert account.evicted("n1", "a", 112.0) == []
    assert account.arrived("v", 113.0) == []


def test_a_shadow_prefetch_is_forgotten_after_a_while() -> None:
    account = begun(shadow=True)
    assert account.forget(105.0 + SHADOW_S) == []
    [ending] = account.forget(105.0 + SHADOW_S + 1)
    assert (ending.kind, ending.shadow) == ("wasted", True)


def test_caution_falls_with_success_and_rises_with_waste_to_rest_at_the_bound() -> None:
    account = Account(CONFIG)
    assert account.caution == FIRST_CAUTION
    for i in range(200):
        account.started("n1", "a", float(i), 1.0, {})
        account.arrived("a", i + 5.0)
    assert account.caution == 1.0
    assert account.margin == CONFIG.prefetch_margin
    # Exactly one in five for nothing leaves caution where it is.
    before = Account(CONFIG)
    for i in range(100):
        before.started("n1", f"m{i}", float(i), 1.0, {})
        if i % 5:
            before.arrived(f"m{i}", i + 5.0)
        else:
            before.evicted("n1", f"m{i}", i + 5.0)
    assert before.caution == pytest.approx(FIRST_CAUTION, rel=0.2)
    for i in range(200):
        before.started("n1", f"w{i}", float(i), 1.0, {})
        before.evicted("n1", f"w{i}", i + 5.0)
    assert before.caution == MOST_CAUTION
    assert before.least_chance <= 0.9


def test_waste_is_a_share_of_all_loads_so_loads_on_demand_lower_caution_too() -> None:
    account = Account(CONFIG)
    for i in range(200):
        for _ in range(8):
            account.demanded()
        account.started("n1", f"m{i}", float(i), 1.0, {})
        account.evicted("n1", f"m{i}", i + 5.0)
    assert account.caution < 1.2  # one in nine for nothing


def test_a_load_that_was_called_off_ends_without_a_judgement() -> None:
    account = begun({"v": 8.0})
    account.called_off("n1", "a")
    account.called_off("n1", "never begun")
    assert (
        account.arrived("v", 101.0) == account.arrived("a", 110.0) == account.evicted("n1", "a", 120.0) == []
    )
    assert account.caution == FIRST_CAUTION


def test_a_model_that_loses_is_switched_off_and_comes_back_on_probation() -> None:
    account = Account(CONFIG)
    now = 0.0

    def lose() -> None:
        account.started("n1", "a", now, 1.0, {"v": 9.0})
        account.arrived("v", now + 1)
        account.arrived("a", now + 2)

    for _ in range(FEWEST):
        assert account.allows("a", now)
        lose()
        now += 10
    off = now - 10 + 2
    assert not account.allows("a", off + OFF_S - 1)
    assert account.allows("a", off + OFF_S)
    assert account.allows("b", now)
    now = off + OFF_S
    lose()  # on probation one is enough, and the pause doubles
    assert not account.allows("a", now + 2 + 2 * OFF_S - 1)
    now += 2 + 2 * OFF_S
    account.started("n1", "a", now, 1.0, {})
    account.arrived("a", now + 2)
    assert account.allows("a", now + 3)


def test_the_sum_of_the_endings_is_the_balance_of_seconds() -> None:
    account = Account(replace(CONFIG, prefetch_cost=0.1))
    endings = []
    for i, (victims, fate) in enumerate([({}, "hit"), ({"v": 3.0}, "harm"), ({}, "waste"), ({}, "late")]):
        at = i * 1000.0
        account.started("n1", f"m{i}", at, 4.0, dict(victims))
        if fate == "harm":
            endings += account.arrived("v", at + 5)
        if fate == "waste":
            endings += account.evicted("n1", f"m{i}", at + 50)
        else:
            endings += account.arrived(f"m{i}", at + (1 if fate == "late" else 10))
    assert [e.kind for e in endings] == ["hit", "hit", "wasted", "late"]
    assert sum(e.seconds for e in endings) == pytest.approx(4 + (4 - 3) - 0.4 + 1)


def test_the_account_is_bounded() -> None:
    account = Account(CONFIG)
    ended = 0
    for i in range(3000):
        ended += len(account.started(f"n{i}", f"m{i}", float(i), 1.0, {f"v{i}": 1.0}))
    assert ended == 2000

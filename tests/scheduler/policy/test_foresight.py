"""Foresight: when proposals are asked for, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from scheduler.policy.config import Config
from scheduler.policy.foresight import AGAIN_S, QUIET_S, Foresight
from scheduler.policy.hints import Hint
from scheduler.policy.prediction import Predictor
from scheduler.policy.state import Resident, State
from scheduler.policy.view import View
from tests.scheduler.policy.cast import EXACT, NOW, model, node, resident, state

A, B = model("a", 10), model("b", 10)


def asked(config: Config = EXACT) -> tuple[Foresight, Predictor]:
    """A key that uses `a` and says that `b` comes next."""
    predictor = Predictor()
    ahead = Foresight(predictor, config)
    for i in range(20):
        ahead.arrived(NOW - 200 + 10 * i, "k", "a", [Hint(model="b")])
        ahead.arrived(NOW - 195 + 10 * i, "k", "b")
    ahead.arrived(NOW, "k", "a", [Hint(model="b")], absent=lambda name: name == "b")
    return ahead, predictor


def seen(ahead: Foresight, predictor: Predictor, *residents: Resident, gb: float = 24) -> View:
    shown: State = state([node(gb=gb)], [A, B], residents or (resident(A),))
    shown.forecast = predictor
    return View(shown, NOW, ahead.config)


def test_it_is_due_when_the_model_that_comes_next_is_absent() -> None:
    ahead, predictor = asked()
    assert ahead.due
    [load] = ahead.propose(seen(ahead, predictor))
    assert (load.model, load.cause) == ("b", "prefetch")
    assert not ahead.due


def test_it_is_not_due_while_every_likely_model_is_there() -> None:
    ahead, _ = asked()
    ahead.due = False
    ahead.arrived(NOW + 1, "k", "a", [Hint(model="b")], absent=lambda name: False)
    ahead.arrived(NOW + 2, "k", "a", [Hint(model="b")], absent=None)
    assert not ahead.due


def test_what_stood_in_the_way_makes_it_due_again_when_it_is_gone() -> None:
    ahead, predictor = asked()
    busy = resident(A, in_flight=1)
    assert not ahead.propose(seen(ahead, predictor, busy, gb=12))
    ahead.freed()
    assert ahead.due


def test_time_makes_it_due_until_nobody_came_for_long() -> None:
    ahead, _ = asked()
    ahead.due = False
    assert ahead.passed(NOW + AGAIN_S) == NOW + 2 * AGAIN_S
    assert ahead.due
    assert ahead.passed(NOW + QUIET_S) == float("inf")


def test_a_proposal_is_booked_and_its_ending_kept_for_the_ledger() -> None:
    ahead, predictor = asked()
    ahead.propose(seen(ahead, predictor))
    ahead.arrived(NOW + 60, "k", "b")
    [ending] = ahead.endings
    assert (ending.kind, ending.model, ending.seconds) == ("hit", "b", pytest.approx(6.5))


def test_a_load_on_demand_is_counted_once_however_many_wait_for_it() -> None:
    ahead, _ = asked()
    cautions = [ahead.account.caution]
    for gone in (True, True, True, False, True):
        ahead.arrived(NOW + 1, "k", "a", absent=lambda name, gone=gone: gone)  # type: ignore[misc]
        cautions.append(ahead.account.caution)
    fell = [b < a for a, b in pairwise(cautions)]
    assert fell == [True, False, False, False, True]
    ahead.evicted("n1", "a", NOW + 2)
    ahead.arrived(NOW + 3, "k", "a", absent=lambda name: True)
    assert ahead.account.caution < cautions[-1]


def test_a_load_that_did_not_come_to_pass_is_judged_neither_way() -> None:
    ahead, predictor = asked()
    before = ahead.account.caution
    [load] = ahead.propose(seen(ahead, predictor))
    ahead.called_off(load.node, load.model)
    ahead.arrived(NOW + 60, "k", "b")
    ahead.evicted(load.node, load.model, NOW + 90)
    assert not ahead.endings
    assert ahead.account.caution == before


def test_in_shadow_mode_nothing_is_proposed_and_everything_is_scored() -> None:
    ahead, predictor = asked(replace(EXACT, prefetch_shadow=True))
    assert ahead.propose(seen(ahead, predictor)) == []
    ahead.arrived(NOW + 60, "k", "b")
    [ending] = ahead.endings
    assert ending.shadow
    assert ending.kind == "hit"


def test_switched_off_it_learns_and_is_never_due() -> None:
    ahead, predictor = asked(replace(EXACT, prefetch="off"))
    ahead.passed(NOW)
    assert not ahead.due
    assert predictor.seen == 41

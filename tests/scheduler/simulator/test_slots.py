"""The slots of a runner and the FIFO line before them (reference, sections 3.2, 3.3 and 7)."""

from __future__ import annotations

import pytest

from scheduler.simulator.events import Cancelled, Kind
from tests.scheduler.simulator.play import Play


def test_generations_wait_for_a_slot_in_their_order() -> None:
    play = Play(slots=2)
    play.ready("a")
    asked = [play.ask("a", tokens=10) for _ in range(5)]
    assert [play.has_started(request) for request in asked] == [True, True, False, False, False]
    play.wait(1)
    assert [play.has_started(request) for request in asked] == [True, True, True, True, False]


def test_one_slot_is_the_default() -> None:
    play = Play()
    play.ready("a")
    play.ask("a")
    assert not play.has_started(play.ask("a"))


@pytest.mark.parametrize("model", ["nomic-embed-text=0.27", "lfm2=2", "llama3.2-vision=8"])
def test_embedding_models_and_some_families_have_one_slot_whatever_is_set(model: str) -> None:
    play = Play(model, slots=4)
    name = model.partition("=")[0]
    kind = Kind.EMBED if "embed" in name else Kind.GENERATE
    asked = [play.ask(name, kind=kind) for _ in range(2)]
    play.wait(9)
    assert play.node.seen.peak_in_flight[f"{name}:latest"] == 1
    assert play.has_started(asked[0])


def test_a_client_that_leaves_while_waiting_frees_its_place() -> None:
    play = Play()
    play.ready("a")
    play.ask("a", tokens=10)
    second, third = play.ask("a"), play.ask("a")
    play.cancel(second)
    assert play.find(Cancelled, second) == Cancelled(request_id=second, at=play.now, phase="waiting")
    play.wait(1)
    assert play.has_started(third)
    assert not play.has_started(second)


def test_a_client_that_leaves_in_mid_generation_frees_its_slot_at_once() -> None:
    play = Play()
    play.ready("a")
    first = play.ask("a", tokens=1000)
    second = play.ask("a")
    play.cancel(first)
    assert play.has_started(second)
    assert play.node.seen.counts["cancelled_running"] == 1


def test_cancelling_what_has_ended_does_nothing() -> None:
    play = Play()
    request = play.ask("a", tokens=1)
    play.wait(5)
    before = list(play.events)
    play.cancel(request)
    assert play.events == before


def test_waiting_for_a_slot_is_not_in_the_load_duration() -> None:
    play = Play()
    play.ready("a")
    play.ask("a", tokens=100)
    second = play.ask("a")
    asked_at = play.now
    play.wait(10)
    started = play.started(second)
    assert started.assigned_at == asked_at
    assert started.at == asked_at + 10

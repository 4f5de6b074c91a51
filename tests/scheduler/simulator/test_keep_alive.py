"""Load, unload and keep_alive (reference, section 2)."""

from __future__ import annotations

import math

from scheduler.simulator.events import Answered, Cancelled
from tests.scheduler.simulator.play import FOREVER, OLD, Play


def test_a_load_request_is_answered_only_when_the_model_is_ready() -> None:
    play = Play()
    load = play.load("a")
    play.wait(1.9)
    assert play.ended(load) is None
    play.wait(0.2)
    assert play.ended(load) == Answered(request_id=load, at=2.0, reason="load")


def test_loading_takes_the_fixed_time_and_the_bytes_over_the_bandwidth() -> None:
    play = Play("a=6", load_fixed_s=0.5, load_bytes_per_s=2e9)
    play.load("a")
    play.wait(10)
    assert play.node.seen.loads[0]["seconds"] == 3.5


def test_a_model_expires_after_its_keep_alive() -> None:
    play = Play(keep_alive_s=300.0)
    play.ready("a")
    play.wait(279)  # 20 s have passed, 2 of them while it loaded
    assert play.loaded == ["a"]
    play.wait(4)
    assert play.loaded == []
    assert play.node.seen.unloads[0]["cause"] == "expired"


def test_the_timer_starts_when_the_last_request_ends() -> None:
    play = Play(keep_alive_s=5.0)
    play.ready("a", keep_alive=60.0)
    play.ask("a", tokens=100, keep_alive=5.0)
    play.wait(14.9)
    assert play.loaded == ["a"]
    play.wait(0.2)
    assert play.loaded == []


def test_a_request_with_keep_alive_replaces_the_runners_value() -> None:
    play = Play(keep_alive_s=5.0)
    play.load("a", keep_alive=1000.0)
    play.wait(500)
    assert play.loaded == ["a"]


def test_a_request_without_keep_alive_keeps_the_runners_value() -> None:
    play = Play(keep_alive_s=5.0)
    play.load("a", keep_alive=FOREVER)
    play.wait(5)
    play.ask("a")
    play.wait(10_000)
    assert play.loaded == ["a"]


def test_a_stray_keep_alive_of_zero_takes_the_pin_from_everybody() -> None:
    play = Play()
    play.ready("a", keep_alive=FOREVER)
    play.ask("a", keep_alive=0.0)
    play.wait(2)
    assert play.loaded == []


def test_a_keep_alive_of_zero_at_first_load_unloads_after_the_request() -> None:
    play = Play(keep_alive_s=0.0)
    play.ask("a", tokens=10)
    play.wait(2.5)
    assert play.loaded == ["a"]
    play.wait(1)
    assert play.loaded == []


def test_an_unload_is_answered_at_once_although_a_generation_runs() -> None:
    play = Play()
    play.ready("a")
    running = play.ask("a", tokens=100)
    unload = play.unload("a")
    assert play.ended(unload) == Answered(request_id=unload, at=play.now, reason="unload")
    play.wait(5)
    assert play.loaded == ["a"]
    play.wait(5.1)
    assert play.ended(running) is not None
    assert play.loaded == []


def test_an_unload_of_a_model_that_is_not_loaded_is_answered_all_the_same() -> None:
    play = Play()
    unload = play.unload("a")
    assert isinstance(play.ended(unload), Answered)


def test_an_unload_does_not_stop_a_load_in_progress() -> None:
    play = Play()
    play.load("a")
    play.wait(1)
    play.unload("a")
    play.wait(2)
    assert play.loaded == ["a"]


def test_a_marked_runner_still_serves_and_one_with_keep_alive_revives_it() -> None:
    play = Play()
    play.ready("a")
    play.ask("a", tokens=50)
    play.unload("a")
    play.ask("a", keep_alive=600.0)
    play.wait(20)
    assert play.loaded == ["a"]
    assert play.node.seen.counts["revived"] == 1


def test_a_marked_runner_is_not_revived_by_a_request_without_keep_alive() -> None:
    play = Play()
    play.ready("a")
    play.ask("a", tokens=50)
    play.unload("a")
    play.ask("a", tokens=10)
    play.wait(20)
    assert play.loaded == []


def test_expires_at_stays_stale_while_a_request_runs() -> None:
    play = Play(keep_alive_s=10.0)
    play.load("a")
    play.wait(2)
    runner = next(iter(play.node.runners.values()))
    assert runner.expires_at == 12.0
    play.ask("a", tokens=300)
    play.wait(20)
    assert runner.expires_at == 12.0
    assert play.loaded == ["a"]


def test_a_keep_alive_for_ever_never_expires() -> None:
    play = Play()
    play.load("a", keep_alive=FOREVER)
    play.settle(limit=math.inf)
    assert play.loaded == ["a"]


def test_the_client_that_leaves_during_its_load_aborts_it() -> None:
    play = Play()
    load = play.load("a")
    play.wait(1)
    play.cancel(load)
    assert play.ended(load) == Cancelled(request_id=load, at=1.0, phase="loading")
    play.wait(5)
    assert play.loaded == []
    assert play.node.seen.counts["aborted_loads"] == 1
    assert play.node.vram_used == 0


def test_after_an_aborted_load_the_next_waiter_starts_from_zero() -> None:
    play = Play()
    first, second = play.load("a"), play.load("a")
    play.wait(1.5)
    play.cancel(first)
    play.wait(1.9)
    assert play.ended(second) is None
    play.wait(0.2)
    assert play.ended(second) is not None


def test_a_loading_model_is_shown_before_030_and_not_since() -> None:
    for generation, shown in ((OLD, 1), (None, 0)):
        play = Play(**({"generation": generation} if generation else {}))
        play.load("a")
        play.wait(1)
        assert len(play.node.residents()) == shown

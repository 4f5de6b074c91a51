"""The one pending loop: serial loads, the queue, eviction (reference, sections 3.1 to 3.3)."""

from __future__ import annotations

from scheduler.simulator.events import Answered, Cancelled
from tests.scheduler.simulator.play import FOREVER, Play


def test_loads_are_serial_and_block_what_comes_after_them() -> None:
    play = Play()
    play.load("a")
    second = play.load("b")
    play.wait(3.9)
    assert play.loaded == ["a"]
    play.wait(0.2)
    assert isinstance(play.ended(second), Answered)


def test_requests_for_one_cold_model_share_one_load() -> None:
    play = Play(slots=4)
    asked = [play.ask("a") for _ in range(4)]
    play.wait(2)
    assert all(play.has_started(request) for request in asked)
    assert play.node.seen.counts["loads"] == 1


def test_a_loaded_model_serves_while_another_loads() -> None:
    play = Play()
    play.ready("a")
    play.load("b")
    assert play.has_started(play.ask("a"))


def test_before_0115_requests_for_a_loaded_model_queue_behind_a_load() -> None:
    from scheduler.simulator.generation import Generation

    play = Play(generation=Generation.of("0.11.4"))
    play.ready("a")
    play.load("b")
    asked = play.ask("a")
    assert not play.has_started(asked)
    play.wait(2.1)
    assert play.has_started(asked)


def test_a_full_queue_refuses_with_503_and_ollamas_words() -> None:
    play = Play(max_queue=2)
    play.load("a")  # at the head, not in the queue
    play.load("b")
    play.load("b")
    refusal = play.refusal(play.load("c"))
    assert refusal.status == 503
    assert refusal.error == "server busy, please try again.  maximum pending requests exceeded"


def test_a_cancelled_request_fills_the_queue_until_its_turn() -> None:
    play = Play(max_queue=1)
    play.load("a")
    waiting = play.load("b")
    play.cancel(waiting)
    assert play.ended(waiting) == Cancelled(request_id=waiting, at=0.0, phase="queued")
    assert play.refusal(play.load("c")).status == 503
    play.wait(2.1)
    play.load("c")
    play.wait(2.1)
    assert play.loaded == ["a", "c"]


def test_requests_for_a_loaded_model_are_never_refused() -> None:
    play = Play(max_queue=2)
    play.ready("a")
    asked = [play.ask("a") for _ in range(2000)]
    assert all(play.ended(request) is None for request in asked)
    assert play.node.seen.peak_waiting["a:latest"] == 1999


def test_three_models_for_each_gpu_are_loaded_at_most() -> None:
    play = Play(vram=400 * 2**30)
    play.ready("a", "b", "c")
    play.load("d")
    play.wait(3)
    assert len(play.loaded) == 3
    assert play.node.seen.evictions[0]["cause"] == "max_loaded"
    more = Play(vram=400 * 2**30, gpus=2)
    more.ready("a", "b", "c", "d")


def test_the_victim_is_the_one_with_the_smallest_keep_alive() -> None:
    play = Play(max_loaded=2)
    play.ready("a", keep_alive=900.0)
    play.ready("b", keep_alive=300.0)
    play.ask("b", tokens=1)
    play.wait(1)  # b was used last: the order is not LRU
    play.load("c")
    play.wait(3)
    assert sorted(play.loaded) == ["a", "c"]


def test_ties_go_by_the_path_of_the_weights() -> None:
    play = Play(max_loaded=2)
    play.ready("a", "b")
    first = min(play.node.runners.values(), key=lambda runner: runner.model.path)
    play.load("c")
    play.wait(3)
    assert first.model.name.removesuffix(":latest") not in play.loaded


def test_an_idle_runner_goes_before_a_busy_one_with_a_smaller_keep_alive() -> None:
    play = Play(max_loaded=2)
    play.ready("a", keep_alive=60.0)
    play.ready("b", keep_alive=FOREVER)
    play.ask("a", tokens=1000)
    play.load("c")
    play.wait(3)
    assert sorted(play.loaded) == ["a", "c"]


def test_keep_alive_for_ever_is_not_a_pin() -> None:
    play = Play(max_loaded=1)
    play.ready("a", keep_alive=FOREVER)
    play.load("b")
    play.wait(3)
    assert play.loaded == ["b"]


def test_when_all_are_busy_the_load_waits_for_the_shortest_to_drain() -> None:
    play = Play(max_loaded=2)
    play.ready("a", keep_alive=600.0)
    play.ready("b", keep_alive=900.0)
    play.ask("a", tokens=100)
    play.ask("b", tokens=10)
    play.load("c")
    play.wait(9)  # b has been idle for 8 s, but a was chosen
    assert sorted(play.loaded) == ["a", "b"]
    play.wait(4)
    assert sorted(play.loaded) == ["b", "c"]


def test_a_revived_victim_leaves_every_later_load_waiting() -> None:
    """ollama#17408: the loop waits for an unload that never comes, hot models stay green."""
    play = Play(max_loaded=1)
    play.ready("a", keep_alive=FOREVER)
    play.ask("a", tokens=50)
    stuck = play.load("b")
    play.ask("a", keep_alive=FOREVER)
    play.wait(100_000)
    assert play.ended(stuck) is None
    assert play.node.pending.blocked_by_unload
    assert play.has_started(play.ask("a"))
    behind = play.load("c")
    play.wait(1000)
    assert play.ended(behind) is None


def test_any_unload_wakes_a_loop_that_waits_for_another() -> None:
    play = Play(max_loaded=2)
    play.ready("a", keep_alive=FOREVER)
    play.ready("b", keep_alive=FOREVER)
    play.ask("a", tokens=50)
    play.ask("b", tokens=50)
    load = play.load("c")
    victim = next(r.model.name.removesuffix(":latest") for r in play.node.runners.values() if r.leaving)
    other = "b" if victim == "a" else "a"
    play.ask(victim, keep_alive=FOREVER)
    play.wait(11)
    assert play.ended(load) is None
    play.unload(other)
    play.wait(3)
    assert play.ended(load) is not None


def test_a_waiting_request_that_left_aborts_its_load_when_its_turn_comes() -> None:
    play = Play(max_loaded=1)
    play.ready("a")
    play.ask("a", tokens=50)
    load = play.load("b")
    play.cancel(load)
    play.wait(10)
    assert play.loaded == []
    assert play.node.seen.counts["aborted_loads"] == 1


def test_a_load_waits_until_the_driver_shows_the_freed_vram() -> None:
    play = Play(max_loaded=1, vram_recovery_s=1.5)
    play.ready("a")
    load = play.load("b")
    play.wait(3.4)
    assert play.ended(load) is None
    play.wait(0.2)
    assert play.ended(load) is not None


def test_names_of_one_blob_share_one_runner_and_the_first_name_shows() -> None:
    play = Play("a=2,alias=@a")
    play.ready("a")
    assert play.has_started(play.ask("alias"))
    assert play.loaded == ["a"]
    assert play.node.seen.counts["loads"] == 1


def test_an_unknown_model_is_not_found() -> None:
    play = Play()
    refusal = play.refusal(play.ask("nope"))
    assert (refusal.status, refusal.error) == (404, "model 'nope:latest' not found")

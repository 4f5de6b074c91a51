"""The prefix cache of a runner (reference, section 6.1)."""

from __future__ import annotations

from scheduler.simulator.events import Segment
from scheduler.simulator.prompt_cache import PromptCache
from tests.scheduler.simulator.play import OLD, Play

SYSTEM = Segment(key=1, tokens=900)
FIRST = Segment(key=2, tokens=100)
OTHER = Segment(key=3, tokens=100)
FOREIGN = Segment(key=9, tokens=1000)


def asked(play: Play, *prompt: Segment) -> int:
    request = play.ask("a", prompt=prompt)
    play.wait(5)
    return play.started(request).cached_tokens


def test_a_repeated_prefix_is_not_read_again() -> None:
    play = Play(prefill_tokens_per_s=1000.0)
    assert asked(play, SYSTEM, FIRST) == 0
    request = play.ask("a", prompt=(SYSTEM, OTHER))
    assert play.started(request).cached_tokens == 900
    assert play.started(request).prefill_s == 0.1


def test_at_least_one_token_is_read_again() -> None:
    play = Play()
    asked(play, SYSTEM)
    assert asked(play, SYSTEM) == 899


def test_the_cache_is_lost_with_the_runner() -> None:
    play = Play()
    asked(play, SYSTEM)
    play.unload("a")
    assert asked(play, SYSTEM) == 0


def test_a_foreign_prompt_leaves_a_copy_in_host_memory_since_030() -> None:
    for changes, cached in (({}, 900), ({"generation": OLD}, 0), ({"cache_ram": 0}, 0)):
        play = Play(**changes)
        asked(play, SYSTEM, FIRST)
        asked(play, FOREIGN)
        assert asked(play, SYSTEM, OTHER) == cached, changes


def test_the_slot_with_the_longest_prefix_is_chosen() -> None:
    play = Play(slots=2, generation=OLD)
    asked(play, SYSTEM, FIRST)
    asked(play, FOREIGN)
    assert asked(play, FOREIGN) == 999
    assert asked(play, SYSTEM, OTHER) == 900


def test_a_busy_slot_keeps_its_prefix_to_itself() -> None:
    play = Play(slots=2, generation=OLD)
    play.ready("a")
    play.ask("a", prompt=(SYSTEM, FIRST), tokens=1000)
    second = play.ask("a", prompt=(SYSTEM, OTHER))
    assert play.started(second).cached_tokens == 0


def test_an_answer_extends_the_prefix_for_the_next_turn() -> None:
    cache = PromptCache(slots=1, spare_tokens=0)
    slot, _ = cache.take((SYSTEM, FIRST), 1000)
    cache.release(slot, Segment(key=5, tokens=50))
    assert cache.take((SYSTEM, FIRST, Segment(key=5, tokens=50), OTHER), 1150) == (0, 1050)


def test_host_memory_copies_are_bounded_and_the_oldest_go_first() -> None:
    cache = PromptCache(slots=1, spare_tokens=2500)
    for key in range(10, 20):
        slot, _ = cache.take((Segment(key=key, tokens=1000),), 1000)
        cache.release(slot, None)
    assert cache.take((Segment(key=18, tokens=1000),), 1000) == (0, 999)
    cache.release(0, None)
    assert cache.take((Segment(key=11, tokens=1000),), 1000) == (0, 0)


def test_a_prompt_over_the_context_loses_its_oldest_messages() -> None:
    play = Play(context_length=1000)
    request = play.ask("a", prompt=(Segment(key=1, tokens=400),) * 4)
    play.wait(5)
    assert play.started(request).prompt_tokens == 800


def test_one_message_over_the_context_is_cut_in_its_middle_to_about_half() -> None:
    play = Play(context_length=1000)
    request = play.ask("a", prompt=(Segment(key=1, tokens=4000),))
    play.wait(5)
    assert play.started(request).prompt_tokens == 503


def test_without_shift_a_prompt_over_the_context_is_refused() -> None:
    play = Play(context_length=1000)
    request = play.ask("a", prompt=(Segment(key=1, tokens=4000),), shift=False)
    play.wait(5)
    assert play.refusal(request).status == 400
    assert play.refusal(request).error.startswith("the prompt is longer than the context length currently")


def test_without_truncate_a_prompt_over_the_context_is_refused() -> None:
    for changes, error in (
        ({}, "request (4000 tokens) exceeds the available context size (1000 tokens), try increasing it"),
        ({"generation": OLD}, "the input length exceeds the context length"),
    ):
        play = Play(context_length=1000, **changes)
        request = play.ask("a", prompt=(Segment(key=1, tokens=4000),), truncate=False)
        play.wait(5)
        assert (play.refusal(request).status, play.refusal(request).error) == (400, error)


def test_a_prompt_that_is_cancelled_while_it_is_read_leaves_what_was_read() -> None:
    for waited, cached in ((0.5, 0), (0.95, 900)):
        play = Play(prefill_tokens_per_s=1000.0)
        play.ready("a")
        request = play.ask("a", prompt=(SYSTEM, FIRST))
        play.wait(waited)
        play.cancel(request)
        assert play.started(play.ask("a", prompt=(SYSTEM, OTHER))).cached_tokens == cached

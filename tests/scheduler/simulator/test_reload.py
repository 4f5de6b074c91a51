"""When Ollama reloads a loaded model (reference, section 3.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.simulator.installed import parse_models
from scheduler.simulator.profile import reload_cause, wanted_profile
from tests.scheduler.simulator.play import FOREVER, OLD, Play, config


def reloads(play: Play) -> list[object]:
    return [entry["cause"] for entry in play.node.seen.reloads]


@pytest.mark.parametrize(
    ("first", "then", "cause"),
    [
        ({"num_ctx": 8192}, {"num_ctx": 4096}, "num_ctx"),
        ({"num_ctx": 4096}, {"num_ctx": 8192}, "num_ctx"),
        ({"num_batch": 512}, {"num_batch": 256}, "num_batch"),
        ({}, {"num_gpu": 10}, "num_gpu"),
        ({}, {"main_gpu": 1}, "main_gpu"),
        ({}, {"use_mmap": False}, "use_mmap"),
        ({}, {"num_thread": 4}, "num_thread"),
        ({}, {"draft_num_predict": 8}, "draft_num_predict"),
    ],
)
def test_a_changed_runner_option_reloads(first: dict[str, int], then: dict[str, int], cause: str) -> None:
    play = Play()
    play.load("a", options=first)
    play.wait(5)
    play.load("a", options=then)
    play.wait(5)
    assert reloads(play) == [cause]
    assert play.node.seen.counts["loads"] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.1, "seed": 7, "top_k": 1, "num_predict": 5, "num_keep": 9, "stop": ["x"]},
        {"num_gpu": -1},
        {"num_ctx": 4096},  # what OLLAMA_CONTEXT_LENGTH says already
    ],
)
def test_other_options_and_equal_numbers_do_not_reload(options: dict[str, object]) -> None:
    play = Play()
    play.ready("a")
    play.load("a", options=options)
    play.wait(5)
    assert reloads(play) == []


def test_a_context_is_compared_after_the_clamp_to_the_trained_length() -> None:
    play = Play("a=2@2048")
    play.load("a", options={"num_ctx": 2048})
    play.wait(5)
    play.load("a", options={"num_ctx": 999_999})
    play.wait(5)
    assert reloads(play) == []
    assert next(iter(play.node.runners.values())).profile.num_ctx == 2048


def test_automatic_matches_automatic_but_not_an_explicit_number() -> None:
    play = Play(context_length=0)  # 24 GiB: automatic is 32768
    play.load("a", options={"num_ctx": 16384})
    play.wait(5)
    play.load("a")
    play.wait(5)
    play.load("a")
    play.load("a", options={"num_ctx": 32768})
    play.wait(5)
    assert reloads(play) == ["num_ctx"]


def test_an_automatic_batch_matches_another_automatic_one() -> None:
    play = Play(context_length=32768)
    play.ready("a")
    assert next(iter(play.node.runners.values())).profile.num_batch == 1024
    play.load("a")
    assert reloads(play) == []
    play.load("a", options={"num_batch": 512})
    play.wait(5)
    assert reloads(play) == ["num_batch"]


def test_the_shift_field_reloads_since_030_only() -> None:
    for changes, expected in (({}, ["shift"]), ({"generation": OLD}, [])):
        play = Play(**changes)
        play.ready("a")
        play.load("a", shift=False)
        play.wait(5)
        assert reloads(play) == expected


def test_shift_is_off_by_default_for_deepseek2() -> None:
    model = parse_models("deepseek-v2=9")["deepseek-v2:latest"]
    assert wanted_profile(model, {}, None, config()).shift is False
    assert wanted_profile(model, {}, True, config()).shift is True


def test_another_adapter_reloads() -> None:
    model = parse_models("a=2")["a:latest"]
    running = wanted_profile(model, {}, None, config())
    assert reload_cause(running, replace(running, adapter="lora")) == "adapter"


def test_a_modelfiles_num_ctx_is_explicit_and_a_requests_is_above_it() -> None:
    model = replace(parse_models("a=2")["a:latest"], parameters={"num_ctx": 1024})
    plain = wanted_profile(model, {}, None, config(context_length=0))
    assert (plain.num_ctx, plain.num_ctx_auto) == (1024, False)
    assert wanted_profile(model, {"num_ctx": 512}, None, config()).num_ctx == 512


def test_variants_of_one_blob_with_other_contexts_reload_in_turn() -> None:
    play = Play("a=2")
    base = play.node.models["a:latest"]
    play.node.models["b:latest"] = replace(base, name="b:latest", parameters={"num_ctx": 1024})
    for name in ("a", "b", "a"):
        play.load(name)
        play.wait(5)
    assert reloads(play) == ["num_ctx", "num_ctx"]
    assert play.loaded == ["a"]


def test_a_runner_whose_ping_fails_is_reloaded_by_the_next_request() -> None:
    play = Play()
    play.ready("a")
    play.events += play.node.fail_runner("a:latest", play.now)
    asked = play.ask("a")
    play.wait(3)
    assert play.has_started(asked)
    assert reloads(play) == ["ping"]


def test_a_reload_waits_for_running_requests() -> None:
    play = Play()
    play.ready("a")
    play.ask("a", tokens=50)
    reload = play.ask("a", options={"num_ctx": 1024})
    play.wait(6.9)
    assert not play.has_started(reload)
    play.wait(0.2)
    assert play.has_started(reload)


def test_a_reload_under_steady_old_traffic_never_gets_its_turn_and_blocks_all_loads() -> None:
    """ollama#14407."""
    play = Play(slots=2)
    play.ready("a", keep_alive=FOREVER)
    play.ask("a", tokens=20)
    reload = play.ask("a", options={"num_ctx": 1024})
    other = play.load("b")
    for _ in range(200):
        play.wait(1)
        play.ask("a", tokens=20, keep_alive=FOREVER)
    assert play.ended(reload) is None
    assert play.ended(other) is None


@pytest.mark.parametrize(
    ("vram_gib", "context"), [(8, 4096), (22.9, 4096), (23, 32768), (46.9, 32768), (47, 262144)]
)
def test_the_default_context_follows_the_vram(vram_gib: float, context: int) -> None:
    assert config(vram=int(vram_gib * 2**30), context_length=0).default_context == context


def test_before_0155_the_default_context_is_4096() -> None:
    from scheduler.simulator.generation import Generation

    assert config(generation=Generation.of("0.15.4"), context_length=0).default_context == 4096


def test_contexts_have_floors() -> None:
    models = parse_models("a=2,gemma3=3")
    assert wanted_profile(models["a:latest"], {"num_ctx": 1}, None, config()).num_ctx == 4
    assert wanted_profile(models["gemma3:latest"], {"num_ctx": 1}, None, config()).num_ctx == 2048

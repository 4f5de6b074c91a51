"""VRAM: what is predicted, what is taken, what spills (reference, section 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.simulator.disturbance import LoadFate, Undisturbed
from scheduler.simulator.events import Answered
from scheduler.simulator.generation import Generation
from scheduler.simulator.installed import parse_models
from scheduler.simulator.memory import kv_bytes_per_token, predicted
from scheduler.simulator.shapes import Shape
from tests.scheduler.simulator.play import GIB, OLD, Play, config

LLAMA_8B = Shape(
    architecture="llama",
    blocks=32,
    embedding=4096,
    heads=32,
    kv_heads=8,
    head_length=128,
    feed_forward=14336,
    context=131072,
)


def test_an_8b_llama_takes_128_kib_of_kv_for_each_token() -> None:
    assert kv_bytes_per_token(LLAMA_8B, config()) == 128 * 1024


@pytest.mark.parametrize(
    ("version", "kv_type", "factor"),
    [
        ("0.32.15", "q8_0", 34 / 64),
        ("0.32.15", "q4_0", 18 / 64),
        ("0.24.0", "q8_0", 0.5),
        ("0.24.0", "q4_0", 0.25),
    ],
)
def test_a_quantized_kv_cache_takes_less_by_the_generations_figures(
    version: str, kv_type: str, factor: float
) -> None:
    quantized = config(generation=Generation.of(version), kv_type=kv_type)
    assert kv_bytes_per_token(LLAMA_8B, quantized) == 128 * 1024 * factor


def test_ollamas_prediction_ignores_key_length() -> None:
    """The Qwen3-32B shape is counted with head size 80 instead of 128: 37% too little KV."""
    model = parse_models("qwen3:32b=20")["qwen3:32b"]
    kv = predicted(model, context=1000, slots=1) - model.size
    assert kv == pytest.approx(0.625 * 1000 * kv_bytes_per_token(model.shape, config()))


def test_windowed_layers_do_not_grow_with_the_context() -> None:
    windowed = replace(LLAMA_8B, window=1024, global_every=4)
    assert kv_bytes_per_token(windowed, config()) == 32 * 1024


def test_a_model_that_fits_alone_is_wholly_in_vram() -> None:
    play = Play(vram=24 * GIB)
    play.ready("a")
    placement = next(iter(play.node.runners.values())).placement
    assert placement.size == placement.size_vram > 2e9


def test_a_model_too_large_for_the_vram_spills_to_host_memory_and_slows_down() -> None:
    play = Play("big=40", vram=24 * GIB)
    asked = play.ask("big")
    play.wait(60)
    placement = next(iter(play.node.runners.values())).placement
    assert 0 < placement.size_vram < 23 * GIB < placement.size
    assert play.started(asked).token_s > 0.3


def test_without_a_gpu_nothing_is_in_vram() -> None:
    play = Play(vram=0)
    play.ready("a")
    assert next(iter(play.node.runners.values())).placement.size_vram == 0


def test_num_gpu_0_keeps_a_model_out_of_vram() -> None:
    play = Play()
    play.load("a", options={"num_gpu": 0})
    play.wait(5)
    assert play.node.vram_used == 0


@pytest.mark.parametrize(
    ("generation", "error"),
    [
        (OLD, "model requires more system memory (15.7 GiB) than is available (8.0 GiB)"),
        (None, "llama-server process has terminated: error loading model: unable to allocate CPU buffer"),
    ],
)
def test_a_model_that_fits_nowhere_is_a_500(generation: Generation | None, error: str) -> None:
    changes = {"generation": generation} if generation else {}
    play = Play("big=40", vram=24 * GIB, ram=8 * GIB, **changes)
    refusal = play.refusal(play.load("big"))
    assert (refusal.status, refusal.error) == (500, error)
    assert play.loaded == []


def test_a_model_loads_beside_another_within_80_percent_of_the_free_vram() -> None:
    play = Play("a=10,b=8", vram=24 * GIB)
    play.ready("a", "b")
    assert play.loaded == ["a", "b"]


def test_a_prediction_above_80_percent_of_the_free_vram_evicts() -> None:
    play = Play("a=10,b=12", vram=24 * GIB)
    play.ready("a")
    play.load("b")
    play.wait(12)
    assert play.loaded == ["b"]
    assert play.node.seen.evictions[0]["cause"] == "memory"


def test_before_030_the_whole_free_vram_is_used() -> None:
    play = Play("a=10,b=11", vram=24 * GIB, generation=OLD)
    play.ready("a", "b")
    assert play.loaded == ["a", "b"]


def test_one_victim_at_a_time_until_it_fits() -> None:
    play = Play("a=5,b=5,c=5,d=12", vram=24 * GIB, max_loaded=9)
    play.ready("a", "b", "c")
    play.load("d")
    play.wait(15)
    assert len(play.node.seen.evictions) == 2
    assert len(play.loaded) == 2


def test_an_explicit_partial_offload_skips_the_check() -> None:
    play = Play("a=10,b=11", vram=24 * GIB)
    play.ready("a")
    play.load("b", options={"num_gpu": 5})
    play.wait(12)
    assert play.loaded == ["a", "b"]


def test_slots_multiply_the_kv_cache() -> None:
    one, four = Play(context_length=1024), Play(context_length=1024, slots=4)
    for play in (one, four):
        play.ready("a")
    kv = 1024 * kv_bytes_per_token(one.node.models["a:latest"].shape, one.node.config)
    assert four.node.vram_used - one.node.vram_used == pytest.approx(3 * kv, rel=0.01)


class Fates(Undisturbed):
    """Loads end as the list says, then well."""

    def __init__(self, *ends: str) -> None:
        self.ends = list(ends)

    def load_fate(self, model: str) -> LoadFate:
        return LoadFate(end=self.ends.pop(0)) if self.ends else LoadFate()  # type: ignore[arg-type]


def test_an_oom_at_load_with_an_automatic_context_is_retried_with_a_smaller_one() -> None:
    play = Play(disturbance=Fates("oom"), context_length=0)
    load = play.load("a")
    play.wait(5)
    assert isinstance(play.ended(load), Answered)
    assert next(iter(play.node.runners.values())).profile.num_ctx == 4096


def test_an_oom_at_load_with_an_explicit_context_evicts_all_others_and_retries_once() -> None:
    play = Play(disturbance=Fates("", "", "oom"))
    play.ready("a", "b")
    load = play.load("c")
    play.wait(5)
    assert isinstance(play.ended(load), Answered)
    assert play.loaded == ["c"]
    assert [entry["cause"] for entry in play.node.seen.evictions] == ["oom", "oom"]


def test_a_second_oom_at_load_is_a_500() -> None:
    play = Play(disturbance=Fates("", "oom", "oom"))
    play.ready("a")
    load = play.load("b")
    play.wait(5)
    refusal = play.refusal(load)
    assert refusal.status == 500
    assert refusal.error == "llama-server process has terminated: cudaMalloc failed: out of memory"
    assert play.loaded == []


def test_before_030_an_oom_at_load_is_a_500_at_once_and_nobody_is_evicted() -> None:
    play = Play(disturbance=Fates("", "oom"), generation=OLD)
    play.ready("a")
    load = play.load("b")
    play.wait(5)
    assert play.refusal(load).error == "llama runner process has terminated: cudaMalloc failed: out of memory"
    assert play.loaded == ["a"]


def test_an_oom_while_running_marks_every_runner_for_unload() -> None:
    play = Play()
    play.ready("a", "b")
    play.ask("a", tokens=30)
    play.events += play.node.runtime_oom(play.now)
    play.wait(0)
    assert play.loaded == ["a"]
    play.wait(3.1)
    assert play.loaded == []
    assert {entry["cause"] for entry in play.node.seen.unloads} == {"oom"}

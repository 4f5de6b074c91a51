"""How much must be free: for llama.cpp not to spill, and for Ollama not to evict by itself."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policy import packing
from scheduler.policy.config import GB, GIB, Config
from scheduler.policy.decide import decide
from scheduler.policy.decisions import Load, Refuse
from scheduler.policy.shape import Shape
from scheduler.policy.state import Profile, Stats
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, of_type, resident, state

BESIDE = replace(EXACT, beside=0.8)


def test_a_load_leaves_the_fit_target_free() -> None:
    need = packing.need(model("m", gb=10), "d", Profile(num_ctx=4096), Stats(), Config(margin=0.0))
    assert need == 10 * GB + GIB


def test_ollama_counts_sixteen_bit_kv_whatever_the_type() -> None:
    shape = Shape(kv_full=1000, kv_window=500, window=128)
    profile = Profile(num_ctx=8192, slots=2, kv_type="q4_0")
    believed = 10 * GB + 2 * 1500 * 8192 * 2
    assert packing.free_beside(model("m", gb=10, shape=shape), profile, BESIDE) == int(believed / 0.8)


def test_one_more_goes_where_ollama_would_evict_by_itself() -> None:
    a, b, c = model("a"), model("b"), model("c", gb=13)
    there = [resident(a, last_used=NOW - 500), resident(b)]
    lines = [line("c")]
    held = state([node(gb=34)], [a, b, c], there, lines)  # 14 GB are free: enough for 13, not for 13 / 0.8
    (beside,) = of_type(decide(held, NOW, BESIDE), Load)
    assert len(beside.evict) == 1
    (exact,) = of_type(decide(held, NOW, EXACT), Load)
    assert exact.evict == ()


def test_alone_on_a_node_a_model_may_fill_it() -> None:
    a, c = model("a"), model("c", gb=30)
    (load,) = of_type(decide(state([node(gb=31)], [a, c], [resident(a)], [line("c")]), NOW, BESIDE), Load)
    assert load.evict == ("a",)


def test_what_may_spill_takes_a_whole_node_and_what_may_not_is_refused() -> None:
    a, big = model("a"), model("big", gb=60, may_spill=True)
    (load,) = of_type(decide(state([node(gb=48)], [a, big], [resident(a)], [line("big")]), NOW, EXACT), Load)
    assert (load.evict, load.bytes) == (("a",), 48 * GB)
    strict = model("big", gb=60)
    assert of_type(decide(state([node(gb=48)], [strict], [], [line("big")]), NOW, EXACT), Refuse)


def test_a_grown_context_does_not_spill() -> None:
    shape = Shape(kv_full=500_000)
    big = model("big", gb=40, may_spill=True, shape=shape, num_ctx=4096, trained_ctx=32768)
    lines = [line("big", num_ctx=32768)]
    (refused,) = of_type(decide(state([node(gb=48)], [big], [], lines), NOW, EXACT), Refuse)
    assert refused.num_ctx_over < 32768

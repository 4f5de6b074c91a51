"""VRAM need: the formula first, what was measured afterwards, the margin of each."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policy import packing
from scheduler.policy.config import GB, GIB, MIB, Config
from scheduler.policy.shape import Shape
from scheduler.policy.state import Action, Measured, Profile, Stats
from tests.scheduler.policy.cast import EXACT, model, node, resident

PROFILE = Profile(num_ctx=8192, slots=2)
SHAPE = Shape(kv_full=65536, embedding=4096, feed_forward=14336, vocabulary=128256)


def test_a_model_of_which_only_the_weights_are_known_needs_them_and_the_margin() -> None:
    a = model("a", 10)
    assert packing.need(a, "d", PROFILE, Stats(), EXACT) == 10 * GB
    config = replace(EXACT, margin=0.10)
    assert packing.need(a, "d", PROFILE, Stats(), config) == 11 * GB


def test_the_formula_adds_kv_of_all_slots_and_a_compute_buffer() -> None:
    a = model("a", 5, shape=SHAPE)
    kv = 65536 * 2 * 8192 * 2
    assert packing.kv_bytes(SHAPE, PROFILE) == kv
    buffers = packing.predicted(a, PROFILE) - 5 * GB - kv
    assert 300 * MIB < buffers < 2 * GIB
    larger = packing.predicted(a, replace(PROFILE, num_batch=2048))
    assert larger > packing.predicted(a, replace(PROFILE, num_batch=512))
    seeing = packing.predicted(model("a", 5, shape=replace(SHAPE, vision=True)), PROFILE)
    assert seeing - packing.predicted(a, PROFILE) == GIB


def test_what_was_measured_replaces_the_formula() -> None:
    a = model("a", 10)
    stats = Stats(footprints={packing.footprint("d", PROFILE): Measured(bytes=7 * GB, error=0.0)})
    assert packing.need(a, "d", PROFILE, stats, EXACT) == 7 * GB
    other = replace(PROFILE, num_ctx=16384)
    assert packing.need(a, "d", other, stats, EXACT) == 10 * GB  # another context is another footprint


def test_the_margin_of_a_measured_model_is_the_spread_that_was_measured() -> None:
    a = model("a", 10)
    first = packing.observe(None, a, PROFILE, 8 * GB)
    second = packing.observe(first, a, PROFILE, 10 * GB)
    assert (second.bytes, second.error, second.samples) == (10 * GB, 0.2, 2)
    stats = Stats(footprints={packing.footprint("d", PROFILE): second})
    assert packing.need(a, "d", PROFILE, stats, EXACT) == 12 * GB
    steady = second
    for _ in range(30):
        steady = packing.observe(steady, a, PROFILE, 10 * GB)
    assert steady.error < 0.01


def test_free_is_the_budget_less_what_is_held_and_never_more_than_measured() -> None:
    there = [resident(model("a", 10)), resident(model("b", 5))]
    assert packing.free(node(gb=24), there, EXACT) == 9 * GB
    assert packing.free(node(gb=24, free_bytes=4 * GB), there, EXACT) == 4 * GB
    loading = Action(kind="load", model="c", since=0.0, bytes=3 * GB)
    assert packing.free(node(gb=24, busy_with=loading), there, EXACT) == 6 * GB
    config = replace(EXACT, runner_bytes=GB)
    assert packing.free(node(gb=24), there, config) == 7 * GB


def test_the_original_rule_keeps_ten_per_cent() -> None:
    assert Config().margin == 0.10

"""Contexts come in few sizes, and prompt tokens are estimated by what was learned."""

from __future__ import annotations

import pytest

from scheduler.policy.config import Config
from scheduler.policy.context import Ratio, bucket, estimate, ladder, learn, profile, usual
from tests.scheduler.policy.cast import model, node

CONFIG = Config()


@pytest.mark.parametrize(
    ("asked", "gets"), [(0, 8192), (100, 8192), (8192, 8192), (8193, 16384), (60000, 65536), (10**6, 131072)]
)
def test_a_context_is_the_smallest_bucket_that_holds_what_is_asked(asked: int, gets: int) -> None:
    assert bucket(model("a", trained_ctx=131072), asked, CONFIG) == gets


def test_nothing_is_above_the_trained_context() -> None:
    short = model("a", trained_ctx=6000)
    assert usual(short) == 6000
    assert ladder(short, CONFIG) == [4096, 6000]
    assert bucket(short, 50_000, CONFIG) == 6000


def test_a_model_may_have_buckets_of_its_own() -> None:
    own = model("a", trained_ctx=40960, buckets=(10_000, 40_000), num_ctx=10_000)
    assert bucket(own, 12_000, CONFIG) == 40_000


def test_the_profile_takes_slots_and_kv_type_of_the_node_within_what_the_model_allows() -> None:
    n = node(slots=4, kv_type="q8_0")
    assert (profile(model("a"), n, 8192).slots, profile(model("a"), n, 8192).kv_type) == (4, "q8_0")
    assert profile(model("a", max_slots=1), n, 8192).slots == 1
    options = profile(model("a", num_batch=512, options=(("num_thread", 8),)), n, 8192).runner_options()
    assert options == {"num_ctx": 8192, "num_batch": 512, "num_thread": 8}


def test_the_estimate_comes_to_cover_nearly_all_prompts_without_being_far_too_large() -> None:
    ratio = Ratio()
    prompts = [(1000 + 37 * i % 5000, 0.22 + 0.06 * (i * 7919 % 100) / 100) for i in range(400)]
    covered = excess = 0.0
    for i, (size, tokens_per_byte) in enumerate(prompts):
        tokens = int(size * tokens_per_byte)
        if i >= 100:
            covered += estimate(ratio, size) >= tokens
            excess += estimate(ratio, size) / tokens
        ratio = learn(ratio, size, tokens)
    assert covered / 300 >= 0.93
    assert excess / 300 < 1.3


def test_the_first_prompt_replaces_the_guess_and_nonsense_teaches_nothing() -> None:
    assert learn(Ratio(), 1000, 250).mean == 0.25
    assert learn(Ratio(), 0, 250) == Ratio()
    assert learn(Ratio(), 1000, 0) == Ratio()
    assert estimate(Ratio(), 3000) > 1000

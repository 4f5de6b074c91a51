"""What context a request needs, from bytes and from what nodes counted."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.catalogue import Entry
from bridge.dialects import ollama
from bridge.dialects.inner import Inner
from bridge.errors import BadInput
from bridge.estimates import MOST_OUTPUT_ROOM, OUTPUT_ROOM, Estimates, context_needed


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "name": "m:latest",
        "listed": "m:latest",
        "digest": "d",
        "nodes": ("n",),
        "drifted": {},
        "slots": {"n": 1},
        "capabilities": frozenset({"completion"}),
        "trained_ctx": 32768,
        "num_ctx": 8192,
        "num_ctx_max": 32768,
        "buckets": (),
        "think": "",
        "size_bytes": 1,
        "modified_at": None,
        "details": {},
        "remote": False,
    }
    return Entry(**(fields | changes))


def inner(prompt_bytes: int = 100, **changes: Any) -> Inner:
    return Inner(route="chat", model="m", stream=False, body={}, prompt_bytes=prompt_bytes, **changes)


def test_a_small_prompt_needs_itself_and_room_for_an_answer() -> None:
    assert context_needed(inner(), entry(), 40, 16) == 40 + OUTPUT_ROOM
    assert context_needed(inner(max_tokens=10), entry(), 40, 16) == 50


def test_a_client_may_ask_for_more_up_to_what_the_model_was_trained_for() -> None:
    assert context_needed(inner(num_ctx=16384), entry(), 40, 16) == 16384
    assert context_needed(inner(num_ctx=10**6), entry(), 40, 16) == 32768
    assert context_needed(inner(num_ctx=10**6), entry(num_ctx_max=None), 40, 16) == 10**6


def test_a_habitual_giant_max_tokens_does_not_ask_for_a_giant_context() -> None:
    assert context_needed(inner(max_tokens=32000), entry(), 40, 16) == 40 + MOST_OUTPUT_ROOM


def test_what_fits_in_no_context_is_refused_with_the_numbers() -> None:
    with pytest.raises(BadInput, match=r"at least 40000 tokens.*at most 32768") as refused:
        context_needed(inner(), entry(), 60000, 40000)
    assert refused.value.code == "context_length_exceeded"


def test_a_prompt_that_only_may_be_too_long_is_let_through() -> None:
    assert context_needed(inner(), entry(), 60000, 30000) == 32768


def test_an_embedding_asks_for_no_context_of_its_own() -> None:
    request = ollama.embed(b'{"model": "m", "input": "abc"}')
    assert context_needed(request, entry(), 10**6, 10**6) == 0


def test_the_estimate_follows_what_nodes_count() -> None:
    estimates = Estimates()
    before = estimates.tokens("m", inner(3000))
    for _ in range(50):
        estimates.learn("m", 4000, 1000)
    after = estimates.tokens("m", inner(3000))
    assert 750 <= after <= 900 < before
    assert estimates.surely("m", inner(3000)) == pytest.approx(600, abs=2)


def test_a_count_without_the_cached_tokens_teaches_nothing() -> None:
    estimates = Estimates()
    before = estimates.tokens("m", inner(3000))
    estimates.learn("m", 4000, 5)
    assert estimates.tokens("m", inner(3000)) == before

"""What a node counted."""

from __future__ import annotations

import orjson
import pytest

from bridge.dialects import counts
from bridge.dialects.counts import Counts
from tests.bridge.dialects.exchange import chat


def test_a_last_line_has_tokens_and_durations() -> None:
    line = orjson.dumps(chat(done="length") | {"prompt_eval_cached_count": 20})
    assert counts.read(line) == Counts(
        prompt_tokens=26,
        cached_tokens=20,
        output_tokens=9,
        total_ns=900,
        load_ns=100,
        prompt_eval_ns=200,
        eval_ns=500,
        done_reason="length",
    )


def test_a_node_leaves_out_what_is_zero() -> None:
    assert counts.read(b'{"done":true}') == Counts()


def test_zero_cached_tokens_are_told_from_unknown_ones() -> None:
    found = counts.read(b'{"prompt_eval_cached_count":0}')
    assert found is not None
    assert found.cached_tokens == 0


@pytest.mark.parametrize("value", ['"5"', "-1", "1.5", "true", "[]", "null"])
def test_a_count_that_is_no_whole_number_is_none(value: str) -> None:
    assert counts.read(f'{{"eval_count":{value},"done_reason":{value}}}'.encode()) in (
        Counts(),
        Counts(done_reason="5"),
    )


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"null"])
def test_what_is_no_object_has_no_counts(raw: bytes) -> None:
    assert counts.read(raw) is None

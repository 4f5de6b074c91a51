from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scheduler.nodes import replies
from scheduler.nodes.replies import BadReply

TAG = {
    "name": "Llama3.2:latest",
    "model": "Llama3.2:latest",
    "modified_at": "2026-08-21T10:11:12.123456789+02:00",
    "size": 2019393189,
    "digest": "sha256:a80c4f17",
    "details": {"family": "llama", "parameter_size": "3.2B"},
}
RUNNING = {
    "name": "llama3.2:latest",
    "model": "llama3.2:latest",
    "size": 10,
    "digest": "a80c4f17",
    "expires_at": "2318-01-01T00:00:00Z",
    "size_vram": 7,
    "context_length": 8192,
}


def test_tags_are_read_with_the_normal_name_and_the_bare_digest() -> None:
    (model,) = replies.read_tags({"models": [TAG]})
    assert (model.name, model.digest, model.size_bytes) == ("llama3.2:latest", "a80c4f17", 2019393189)
    assert model.modified_at is not None
    assert model.modified_at.astimezone(UTC) == datetime(2026, 8, 21, 8, 11, 12, 123456, tzinfo=UTC)
    assert model.remote_host == ""


def test_no_models_may_be_null() -> None:
    assert replies.read_tags({"models": None}) == []


def test_a_model_whose_name_nobody_could_send_is_left_out() -> None:
    assert (
        replies.read_tags({"models": [TAG | {"model": "a b!", "name": "a b!"}, TAG]})[0].digest == "a80c4f17"
    )


def test_ps_tells_what_lies_in_host_memory() -> None:
    (running,) = replies.read_ps({"models": [RUNNING]})
    assert (running.size_vram, running.spilled_bytes, running.num_ctx) == (7, 3, 8192)


def test_ps_of_old_nodes_tells_no_context() -> None:
    old = {key: value for key, value in RUNNING.items() if key not in ("context_length", "size_vram")}
    (running,) = replies.read_ps({"models": [old | {"expires_at": "soon"}]})
    assert (running.num_ctx, running.size_vram, running.expires_at) == (None, 0, None)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        {},
        {"models": "none"},
        {"models": [1]},
        {"models": [{**TAG, "digest": None}]},
        {"models": [{**TAG, "size": "2 GB"}]},
        {"models": [{**TAG, "size": True}]},
    ],
)
def test_what_lacks_what_ollama_says_is_refused(reply: Any) -> None:
    with pytest.raises(BadReply):
        replies.read_tags(reply)


def test_show_keeps_the_numbers_and_the_last_parameters() -> None:
    shown = replies.read_show(
        {
            "capabilities": ["completion", "tools"],
            "parameters": 'num_ctx                        4096\nstop   "<|eot_id|>"\nstop   "<|end|>"',
            "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
        }
    )
    assert shown.capabilities == {"completion", "tools"}
    assert shown.trained_ctx == 131072
    assert shown.parameters == {"num_ctx": "4096", "stop": '"<|end|>"'}


@pytest.mark.parametrize(
    ("shown", "capabilities"),
    [
        ({"model_info": {"general.architecture": "bert", "bert.pooling_type": 1}}, {"embedding"}),
        ({"template": "{{ .Prompt }}"}, {"completion"}),
        ({"template": "{{ if .Tools }}{{ .Suffix }}"}, {"completion", "tools", "insert"}),
        ({"projector_info": {"general.architecture": "clip"}}, {"completion", "vision"}),
    ],
)
def test_capabilities_that_old_nodes_do_not_state_are_found(
    shown: dict[str, Any], capabilities: set[str]
) -> None:
    assert replies.read_show(shown).capabilities == capabilities


@pytest.mark.parametrize(
    ("info", "needed"),
    [
        ({"general.architecture": "lfm2", "lfm2.attention.head_count_kv": None}, True),
        ({"general.architecture": "lfm2", "lfm2.attention.head_count_kv": []}, True),
        ({"general.architecture": "lfm2", "lfm2.attention.head_count_kv": [0, 8]}, False),
        ({"general.architecture": "llama", "tokenizer.ggml.tokens": None}, False),
        ({}, False),
    ],
)
def test_null_arrays_of_the_architecture_ask_for_verbose(info: dict[str, Any], needed: bool) -> None:
    assert replies.read_show({"model_info": info}).needs_verbose is needed

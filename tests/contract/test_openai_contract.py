"""The node's own /v1 routes, in the part that the fake node has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.conftest import NodeUnderContract

pytestmark = pytest.mark.contract


def ask(node: NodeUnderContract, **fields: Any) -> Any:
    body = {"model": node.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3, **fields}
    return node.post("/v1/chat/completions", body)


def test_a_completion_has_openais_shape(node: NodeUnderContract) -> None:
    answer = ask(node)
    assert answer.headers["content-type"].startswith("application/json")
    whole = answer.json()
    assert whole["object"] == "chat.completion"
    assert whole["id"].startswith("chatcmpl-")
    assert whole["system_fingerprint"] == "fp_ollama"
    assert whole["choices"][0]["message"]["role"] == "assistant"
    assert whole["choices"][0]["finish_reason"] in ("stop", "length")
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_ends_with_a_finish_chunk_usage_when_asked_and_done(
    node: NodeUnderContract, include_usage: bool
) -> None:
    answer = ask(node, stream=True, stream_options={"include_usage": include_usage})
    assert answer.headers["content-type"] == "text/event-stream"
    *events, end = answer.text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] > 0
    assert chunks[-1]["choices"][0]["finish_reason"] in ("stop", "length")
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"


def test_a_request_without_messages_is_refused(node: NodeUnderContract) -> None:
    answer = ask(node, messages=[])
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "[] is too short - 'messages'"
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_missing_model_is_404_in_openais_shape(node: NodeUnderContract) -> None:
    answer = ask(node, model="no-such-model")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["message"] == "model 'no-such-model' not found"
    assert error["type"] == "not_found_error"
    assert error["param"] is None


def test_models_are_listed_and_found_by_id(node: NodeUnderContract) -> None:
    listed = node.get("/v1/models").json()
    assert listed["object"] == "list"
    assert node.full_name in [entry["id"] for entry in listed["data"]]
    found = node.get(f"/v1/models/{node.model}").json()
    assert found["object"] == "model"
    assert node.get("/v1/models/no-such-model").status_code == 404

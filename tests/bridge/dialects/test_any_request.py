"""Whatever a client sends is a request or a BadRequest, never another exception."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dialects.inner import BadRequest, Inner
from tests.bridge.dialects.exchange import DIALECTS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KNOWN = (
    "user assistant tool system text image_url input_audio input_text input_image function json_schema "
    "required none auto message function_call function_call_output reasoning tool_use tool_result thinking "
    "image base64 5m namespace allowed_tools enabled high data:;base64,aGk= aGk= {} 0"
)
WORDS = st.sampled_from(KNOWN.split())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
JSON = st.recursive(
    st.one_of(LEAVES, TEXT, WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | WORDS, inner, max_size=3),
    max_leaves=8,
)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
NATIVE_CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
OPTIONS = {"num_ctx": 4096, "num_predict": 5, "temperature": 0.5, "stop": ["x"], "use_mmap": True}

FULL: dict[str, dict[str, Any]] = {
    "/api/chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi", "images": ["aGk="]},
            {"role": "assistant", "content": "", "thinking": "t", "tool_calls": [NATIVE_CALL]},
            {"role": "tool", "content": "r", "tool_name": "f"},
        ],
        "tools": [TOOL],
        "options": OPTIONS,
        "keep_alive": "5m",
        "think": "high",
        "format": {"type": "object"},
        "logprobs": True,
        "top_logprobs": 2,
        "stream": False,
    },
    "/api/generate": {
        "model": "m",
        "prompt": "p",
        "suffix": "s",
        "system": "y",
        "template": "t",
        "context": [1, 2],
        "images": ["aGk="],
        "raw": False,
        "options": OPTIONS,
        "keep_alive": 5,
    },
    "/api/embed": {"model": "m", "input": ["a", "b"], "dimensions": 3, "truncate": True, "options": OPTIONS},
    "/api/embeddings": {"model": "m", "prompt": "p", "keep_alive": -1},
    "/v1/chat/completions": {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]},
            {"role": "assistant", "content": None, "reasoning": "r", "tool_calls": [CALL]},
            {"role": "tool", "content": "r", "tool_call_id": "c1"},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "max_completion_tokens": 6,
        "stop": ["x"],
        "seed": 1,
        "temperature": 0.1,
        "reasoning_effort": "low",
        "reasoning": {"effort": "high"},
        "logprobs": True,
        "top_logprobs": 3,
        "n": 1,
        "options": OPTIONS,
        "keep_alive": "1m",
    },
    "/v1/completions": {
        "model": "m",
        "prompt": ["p"],
        "suffix": "s",
        "echo": True,
        "logprobs": 2,
        "max_tokens": 5,
        "best_of": 1,
        "stop": "x",
    },
    "/v1/embeddings": {"model": "m", "input": ["a"], "dimensions": 3, "encoding_format": "base64"},
    "/v1/responses": {
        "model": "m",
        "instructions": "i",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"},
            {"role": "user", "content": "more"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
        ],
        "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "include": ["message.output_text.logprobs"],
        "max_output_tokens": 6,
        "metadata": {"a": "b"},
        "stream": True,
    },
    "/v1/messages": {
        "model": "m",
        "max_tokens": 10,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                    },
                    {"type": "document", "title": "t", "source": {"type": "text", "data": "d"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": True, "content": "r"}],
            },
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["x"],
        "top_k": 3,
    },
}


def read(path: str, payload: bytes) -> Inner | None:
    try:
        return DIALECTS[path].read(payload)
    except BadRequest:
        return None


def check(path: str, payload: bytes) -> None:
    inner = read(path, payload)
    if inner is None:
        return
    assert inner.model.strip()
    sent = orjson.loads(inner.payload())
    assert not {"model", "keep_alive", "shift"} & set(sent)
    assert sent.get("options", {}).get("num_predict") != 0
    assert inner.prompt_bytes >= 0
    DIALECTS[path].encoder(inner, request_id="r", created=1)


def places(of: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    children = of.items() if isinstance(of, dict) else enumerate(of) if isinstance(of, list) else ()
    return [path] * bool(path) + [deep for key, value in children for deep in places(value, (*path, key))]


@pytest.mark.parametrize("path", DIALECTS)
def test_a_full_request_is_read(path: str) -> None:
    assert DIALECTS[path].read(orjson.dumps(FULL[path])).model == "m"
    check(path, orjson.dumps(FULL[path]))


@pytest.mark.parametrize("path", DIALECTS)
@settings(max_examples=40)
@given(payload=st.binary(max_size=40) | JSON.map(orjson.dumps))
def test_any_bytes_are_a_request_or_a_bad_request(path: str, payload: bytes) -> None:
    check(path, payload)


@pytest.mark.parametrize("path", DIALECTS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_request_with_one_place_changed_is_a_request_or_a_bad_request(
    path: str, data: st.DataObject
) -> None:
    request = copy.deepcopy(FULL[path])
    *way, last = data.draw(st.sampled_from(places(request)))
    holder: Any = request
    for step in way:
        holder = holder[step]
    holder[last] = data.draw(JSON)
    check(path, orjson.dumps(request))


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "missing request body"),
        (b" \n", "missing request body"),
        (b"{", "not valid JSON"),
        (b'{"model": "\xff"}', "not valid JSON"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        (b"[]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
    ],
)
def test_what_is_no_json_object_is_refused(path: str, payload: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        DIALECTS[path].read(payload)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("model", [None, "", "  ", 5, ["m"]])
def test_a_model_must_be_named(path: str, model: object) -> None:
    with pytest.raises(BadRequest, match=r"model (is required|must be a string)") as caught:
        DIALECTS[path].read(orjson.dumps(FULL[path] | {"model": model}))
    assert caught.value.param == "model"


@pytest.mark.parametrize("path", DIALECTS)
def test_a_message_about_bad_json_does_not_repeat_the_request(path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECTS[path].read(b'{"model": "m", "prompt": "a secret prompt"')
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_nesting_deeper_than_json_is_written_is_refused(path: str) -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    request = FULL[path] | {"tools": [{"name": "f", "input_schema": "deep"}]}
    if path != "/v1/messages":
        function = {"name": "f", "parameters": "deep"}
        request["tools"] = [{"type": "function", "function": function, **function}]
    payload = orjson.dumps(request).replace(b'"deep"', deep)
    with pytest.raises(BadRequest, match="nested too deeply"):
        DIALECTS[path].read(payload).payload()

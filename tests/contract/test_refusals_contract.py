"""Errors before the first byte: status, shape and text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.conftest import NodeUnderContract

pytestmark = pytest.mark.contract
HI = [{"role": "user", "content": "hi"}]
IMAGE_THAT_IS_NONE = "not base64!"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/chat", 404, "model 'no-such-model' not found"),
        ("/api/generate", 404, "model 'no-such-model' not found"),
        ("/api/embed", 404, 'model "no-such-model" not found, try pulling it first'),
        ("/api/embeddings", 404, 'model "no-such-model" not found, try pulling it first'),
    ],
)
def test_a_missing_model_is_404(node: NodeUnderContract, path: str, status: int, text: str) -> None:
    answer = node.post(path, {"model": "no-such-model", "messages": HI, "prompt": "hi", "input": "hi"})
    assert (answer.status_code, answer.json()) == (status, {"error": text})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("asked", ["no-such-model", "no-such-model:latest"])
def test_show_of_a_missing_model_is_404_with_the_short_name(node: NodeUnderContract, asked: str) -> None:
    answer = node.post("/api/show", {"model": asked})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("model 'no-such-model")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/show", "/api/copy"])
def test_an_empty_body_is_400(node: NodeUnderContract, path: str) -> None:
    answer = node.client.post(path)
    assert (answer.status_code, answer.json()) == (400, {"error": "missing request body"})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "unexpected EOF"),
        (b'{"model":"pl', "unexpected EOF"),
        (b"tru", "unexpected EOF"),
        (b"nonsense", "invalid character 'o' in literal null (expecting 'u')"),
        (b'{"model": }', "invalid character '}' looking for beginning of value"),
        (b'{"model":"x",}', "invalid character '}' looking for beginning of object key string"),
        (b"{'model':'x'}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"model" "x"}', "invalid character '\"' after object key"),
        (b'{"model":"x" "y":1}', "invalid character '\"' after object key:value pair"),
        (b'{"messages":[1 2]}', "invalid character '2' after array element"),
        (b"\xff", "invalid character '\u00ff' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (b"null", "model is required"),
    ],
)
def test_bad_json_is_400_with_gos_words(node: NodeUnderContract, content: bytes, complaint: str) -> None:
    answer = node.client.post("/api/chat", content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": complaint})


def test_what_follows_the_first_json_value_is_not_looked_at(node: NodeUnderContract) -> None:
    content = json.dumps({"model": node.model}).encode() + b" trailing"
    assert node.client.post("/api/chat", content=content).json()["done_reason"] == "load"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("model", 5, "json: cannot unmarshal number into Go struct field ChatRequest.model of type string"),
        (
            "stream",
            "yes",
            "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
        ),
        (
            "messages",
            "hi",
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
        ),
        (
            "messages",
            [1],
            "json: cannot unmarshal number into Go struct field ChatRequest.messages of type api.Alias",
        ),
        (
            "messages",
            [{"role": "user", "content": 5}],
            "json: cannot unmarshal number into Go struct field ChatRequest.messages.content of type string",
        ),
        (
            "messages",
            [{"role": 5, "content": "hi"}],
            "json: cannot unmarshal number into Go struct field ChatRequest.messages.role of type string",
        ),
        (
            "tools",
            [1],
            "json: cannot unmarshal number into Go struct field ChatRequest.tools of type api.Tool",
        ),
    ],
)
def test_a_field_of_the_wrong_type_is_400_with_gos_words(
    node: NodeUnderContract, field: str, value: Any, complaint: str
) -> None:
    answer = node.chat(**{field: value})
    assert (answer.status_code, answer.json()["error"]) == (400, complaint)


def test_an_unknown_field_passes(node: NodeUnderContract) -> None:
    assert node.chat(stream=False, surprise=1, options={"mirostat": 2}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"keep_alive": "300"}, 400, 'time: missing unit in duration "300"'),
        ({"keep_alive": "soon"}, 400, 'time: invalid duration "soon"'),
        ({"keep_alive": "1x"}, 400, 'time: unknown unit "x" in duration "1x"'),
        ({"keep_alive": True}, 400, "Unsupported type: 'bool'"),
        ({"options": {"num_ctx": "many"}}, 500, 'option "num_ctx" must be of type integer'),
        ({"options": {"temperature": "hot"}}, 500, 'option "temperature" must be of type float32'),
        ({"options": {"stop": "x"}}, 500, 'option "stop" must be of type array'),
        ({"options": {"use_mmap": 1}}, 500, 'option "use_mmap" must be of type boolean'),
        ({"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    ],
)
def test_bad_values_are_refused(
    node: NodeUnderContract, body: dict[str, Any], status: int, text: str
) -> None:
    answer = node.chat(**body)
    assert (answer.status_code, answer.json()) == (status, {"error": text})


def test_a_null_option_is_not_given(node: NodeUnderContract) -> None:
    assert node.chat(stream=False, options={"num_ctx": None, "temperature": None}).status_code == 200


def test_thinking_asked_of_a_model_that_cannot_is_400(node: NodeUnderContract) -> None:
    answer = node.chat(think=True)
    assert answer.status_code == 400
    assert answer.json()["error"] == f'"{node.model}" does not support thinking'


def test_tools_given_to_a_model_that_takes_none_are_400(node: NodeUnderContract) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    answer = node.chat(tools=[tool])
    assert answer.status_code == 400
    assert answer.json()["error"] == f"registry.ollama.ai/library/{node.full_name} does not support tools"


def test_a_bad_think_level_is_400(node: NodeUnderContract) -> None:
    assert node.chat(think="a lot").status_code == 400


def test_a_chat_without_model_is_400(node: NodeUnderContract) -> None:
    answer = node.post("/api/chat", {"messages": HI})
    assert (answer.status_code, answer.json()) == (400, {"error": "model is required"})


def test_a_bad_image_is_400(node: NodeUnderContract) -> None:
    messages = [{"role": "user", "content": "see", "images": [IMAGE_THAT_IS_NONE]}]
    answer = node.chat(messages=messages)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("illegal base64 data at input byte")


def test_raw_with_a_system_prompt_is_400(node: NodeUnderContract) -> None:
    answer = node.generate(raw=True, system="x")
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "raw mode does not support template, system, or context"},
    )


@pytest.mark.parametrize("stream", [True, False])
def test_a_bad_format_is_refused_by_the_runner(node: NodeUnderContract, stream: bool) -> None:
    answer = node.chat(format="yaml", stream=stream)
    text = 'invalid format: "\\"yaml\\""; expected "json" or a valid JSON Schema object'
    assert (answer.status_code, answer.json()) == (500, {"error": text})
    charset = "" if stream else "; charset=utf-8"  # a stream's content type is replaced by the shorter one
    assert answer.headers["content-type"] == f"application/json{charset}"


def test_embed_of_something_that_is_no_text_is_400(node: NodeUnderContract) -> None:
    answer = node.post("/api/embed", {"model": node.model, "input": [1]})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid input type"})


def test_embed_of_a_text_over_the_context_is_400_when_it_may_not_be_truncated(
    node: NodeUnderContract,
) -> None:
    body = {"model": node.model, "input": "word " * 3000, "truncate": False, "options": {"num_ctx": 64}}
    answer = node.post("/api/embed", body)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "the input length exceeds the context length"},
    )

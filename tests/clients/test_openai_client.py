"""The unmodified openai package against a served bridge."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

import openai
import pytest

from tests.bridge.served import HELLO, Served

pytestmark = pytest.mark.clients

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.bridge.url}/v1", api_key=served.key, max_retries=0) as client:
        yield client


def test_a_chat_completion_has_text_usage_and_a_request_id(client: openai.OpenAI, served: Served) -> None:
    raw = client.chat.completions.with_raw_response.create(model="llama3.2", messages=HELLO, max_tokens=8)
    reply = raw.parse()
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 8
    record = served.bridge.record(raw.headers["x-request-id"])
    assert (record["outcome"], record["output_tokens"], record["dialect"]) == ("answered", 8, "openai")
    assert record["model"] == "llama3.2:latest"


def test_a_streamed_chat_gives_the_same_text_and_its_usage_last(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="llama3.2", messages=HELLO, max_tokens=8, seed=1)
    chunks = list(
        client.chat.completions.create(
            model="llama3.2",
            messages=HELLO,
            max_tokens=8,
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8
    assert len({c.id for c in chunks}) == 1


def test_max_completion_tokens_bounds_the_answer(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="llama3.2", messages=HELLO, max_completion_tokens=3)
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3
    assert reply.choices[0].finish_reason == "length"


def test_a_tool_is_called_with_arguments_as_a_string(client: openai.OpenAI) -> None:
    question = [{"role": "user", "content": "Use get_weather for Oslo"}]
    reply = client.chat.completions.create(model="llama3.2", messages=question, tools=[WEATHER])
    (call,) = reply.choices[0].message.tool_calls or []
    assert reply.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert call.function.arguments.startswith("{")


def test_structured_output_is_json(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    reply = client.chat.completions.create(
        model="llama3.2",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    )
    assert reply.choices[0].message.content
    assert reply.choices[0].message.content.lstrip().startswith("{")


def test_an_image_goes_to_a_model_with_vision_and_is_refused_elsewhere(client: openai.OpenAI) -> None:
    parts = [
        {"type": "text", "text": "what is it"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    question = [{"role": "user", "content": parts}]
    seen = client.chat.completions.create(model="llava", messages=question, max_tokens=4)
    assert seen.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="vision"):
        client.chat.completions.create(model="llama3.2", messages=question, max_tokens=4)


def test_reasoning_comes_apart_from_the_answer(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="qwen3", messages=HELLO, max_tokens=32, reasoning_effort="low"
    )
    assert reply.choices[0].message.model_extra
    assert reply.choices[0].message.model_extra["reasoning"]


def test_embeddings_are_equal_as_floats_and_as_base64(client: openai.OpenAI) -> None:
    floats = client.embeddings.create(model="nomic-embed-text", input=["a", "b"], encoding_format="float")
    packed = client.embeddings.create(model="nomic-embed-text", input=["a", "b"], encoding_format="base64")
    assert len(floats.data) == 2
    raw = base64.b64decode(str(packed.data[1].embedding))
    values = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert values == pytest.approx(floats.data[1].embedding, rel=1e-5)


def test_completions_and_responses_are_answered(client: openai.OpenAI) -> None:
    text = client.completions.create(model="llama3.2", prompt="one two", max_tokens=4)
    assert text.choices[0].text
    response = client.responses.create(model="llama3.2", input="one two", max_output_tokens=16)
    assert response.output_text
    events = list(
        client.responses.create(model="llama3.2", input="one two", max_output_tokens=16, stream=True)
    )
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == response.output_text
    assert events[-1].type == "response.incomplete"


def test_models_are_listed_and_got_by_name(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert "llama3.2:latest" in names or "llama3.2" in names
    assert client.models.retrieve("llama3.2").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_a_wrong_key_an_unknown_model_and_a_bad_field_raise_the_clients_own_errors(
    client: openai.OpenAI, served: Served
) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="obk_wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.chat.completions.create(model="lama3.2", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model="llama3.2", messages="hello")  # type: ignore[arg-type]


def test_an_error_in_the_middle_of_a_stream_raises(client: openai.OpenAI, served: Served) -> None:
    served.node.arm("error_mid_stream", count=1)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="llama3.2", messages=HELLO, max_tokens=30, stream=True))

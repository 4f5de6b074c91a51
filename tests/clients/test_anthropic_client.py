"""The unmodified anthropic package against a served bridge."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from tests.bridge.served import HELLO, Served

pytestmark = pytest.mark.clients

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(served: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.bridge.url, api_key=served.key, max_retries=0) as client:
        yield client


def test_a_message_has_text_usage_and_one_record(client: anthropic.Anthropic, served: Served) -> None:
    raw = client.messages.with_raw_response.create(model="llama3.2", max_tokens=8, messages=HELLO)
    message = raw.parse()
    assert message.content[0].type == "text"
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 8
    record = served.bridge.record(raw.headers["x-request-id"])
    assert (record["outcome"], record["dialect"]) == ("answered", "anthropic")


def test_a_streamed_message_accumulates_to_the_same_text(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model="llama3.2", max_tokens=8, messages=HELLO)
    with client.messages.stream(model="llama3.2", max_tokens=8, messages=HELLO) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert final.usage.output_tokens == 8


def test_a_tool_is_used_with_an_object_as_input(client: anthropic.Anthropic) -> None:
    question = [{"role": "user", "content": "Use get_weather for Oslo"}]
    message = client.messages.create(model="llama3.2", max_tokens=64, messages=question, tools=[WEATHER])
    assert message.stop_reason == "tool_use"
    (use,) = [block for block in message.content if block.type == "tool_use"]
    assert use.name == "get_weather"
    assert isinstance(use.input, dict)


def test_thinking_comes_in_a_block_of_its_own(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="qwen3", max_tokens=2048, messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert [block.type for block in message.content] == ["thinking", "text"]


def test_a_wrong_key_and_an_unknown_model_raise_the_clients_own_errors(
    client: anthropic.Anthropic, served: Served
) -> None:
    with pytest.raises(anthropic.AuthenticationError) as caught:
        client.with_options(api_key="obk_wrong").messages.create(
            model="llama3.2", max_tokens=8, messages=HELLO
        )
    assert caught.value.body["request_id"].startswith("req_")  # type: ignore[index]
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="lama3.2", max_tokens=8, messages=HELLO)


def test_an_error_in_the_middle_of_a_stream_raises(client: anthropic.Anthropic, served: Served) -> None:
    served.node.arm("cut_mid_stream", count=1)
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model="llama3.2", max_tokens=30, messages=HELLO) as stream,
    ):
        stream.get_final_message()

"""/v1/messages as the official anthropic package sees it."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from bridge.dialects.failure import Failure
from tests.bridge.dialects.exchange import Exchange, call, chat

WEATHER = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASKED: dict[str, Any] = {
    "model": "llama3.2",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi there, model"}],
}


def create(exchange: Exchange, **fields: Any) -> Any:
    return exchange.anthropic().messages.create(**ASKED | fields)


def stream(exchange: Exchange, **fields: Any) -> list[Any]:
    return list(create(exchange, stream=True, **fields))


def test_a_whole_message_has_text_reason_and_usage() -> None:
    message = create(Exchange(whole=chat("Hello.", done="stop")))
    assert message.id == "msg_req1"
    assert message.role == "assistant"
    assert message.model == "llama3.2"
    assert [(block.type, block.text) for block in message.content] == [("text", "Hello.")]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (26, 9)


def test_cached_tokens_are_counted_apart() -> None:
    message = create(Exchange(whole=chat("Hi", done="stop") | {"prompt_eval_cached_count": 20}))
    assert message.usage.cache_read_input_tokens == 20
    assert message.usage.input_tokens == 6


def test_a_stream_has_every_event_in_order() -> None:
    events = stream(Exchange(lines=[chat("He"), chat("llo"), chat(done="stop")], heartbeats=2))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.usage.input_tokens == 15 // 4
    assert events[5].delta.stop_reason == "end_turn"
    assert events[5].usage.output_tokens == 9
    assert events[5].usage.input_tokens == 26


def test_the_clients_own_accumulator_takes_thinking_text_and_tools() -> None:
    lines = [
        chat(thinking="I should "),
        chat(thinking="look."),
        chat("Let me see."),
        chat(tool_calls=[call("weather", city="Rome"), call("weather", "", city="Oslo")]),
        chat(done="stop"),
    ]
    with Exchange(lines=lines).anthropic().messages.stream(**ASKED, tools=[WEATHER]) as running:
        message = running.get_final_message()
    thinking, text, first, second = message.content
    assert thinking.thinking == "I should look."
    assert thinking.signature
    assert text.text == "Let me see."
    assert (first.id, first.name, first.input) == ("call_1", "weather", {"city": "Rome"})
    assert (second.id, second.input) == ("toolu_req1_1", {"city": "Oslo"})
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens == 9


def test_a_whole_message_has_the_same_blocks_as_a_stream() -> None:
    calls = [call("weather", city="Rome")]
    lines = [chat(thinking="hm"), chat("Sure."), chat(tool_calls=calls), chat(done="stop")]
    exchange = Exchange(whole=chat("Sure.", done="stop", thinking="hm", tool_calls=calls), lines=lines)
    plain = create(exchange, tools=[WEATHER])
    with exchange.anthropic().messages.stream(**ASKED, tools=[WEATHER]) as running:
        streamed = running.get_final_message()
    assert [block.to_dict() for block in plain.content] == [block.to_dict() for block in streamed.content]
    assert plain.stop_reason == streamed.stop_reason == "tool_use"
    assert plain.usage.output_tokens == streamed.usage.output_tokens


def test_an_answer_cut_by_its_bound_says_max_tokens() -> None:
    assert create(Exchange(whole=chat("Hel", done="length"))).stop_reason == "max_tokens"


@pytest.mark.parametrize("lines", [[chat("He"), {"error": "out of memory"}], [{"error": "out of memory"}]])
def test_a_stream_that_breaks_raises_in_the_client(lines: list[dict[str, Any] | bytes]) -> None:
    with pytest.raises(anthropic.APIStatusError, match="out of memory") as caught:
        stream(Exchange(lines=lines))
    assert caught.value.body["request_id"] == "req1"


def test_a_stream_without_an_end_mark_raises_in_the_client() -> None:
    with pytest.raises(anthropic.APIStatusError, match="without its end mark"):
        stream(Exchange(lines=[chat("He")]))


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (504, anthropic.InternalServerError, "timeout_error"),
    ],
)
def test_each_status_raises_its_own_exception(
    status: int, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(raised, match="no room") as caught:
        create(Exchange(failure=Failure(status=status, message="no room", kind="why", retry_after_s=3)))
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.body["request_id"] == "req1"
    assert caught.value.request_id == "req1"
    assert caught.value.response.headers["retry-after"] == "3"

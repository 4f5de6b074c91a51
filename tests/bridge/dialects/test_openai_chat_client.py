"""/v1/chat/completions as the official openai package sees it."""

from __future__ import annotations

import openai
import pytest
from openai.types.chat import ChatCompletionMessageFunctionToolCall as FunctionCall

from bridge.dialects.failure import Failure
from tests.bridge.dialects.exchange import Exchange, call, chat

HELLO = [{"role": "user", "content": "hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def create(exchange: Exchange, **fields: object) -> object:
    return exchange.openai().chat.completions.create(model="llama3.2", messages=HELLO, **fields)


def stream(exchange: Exchange, **fields: object) -> list[openai.types.chat.ChatCompletionChunk]:
    return list(create(exchange, stream=True, **fields))


def test_a_whole_answer_has_text_reason_usage_and_a_unique_id() -> None:
    answer = create(Exchange(whole=chat("Hello.", done="stop")))
    assert answer.id == "chatcmpl-req1"
    assert answer.object == "chat.completion"
    assert answer.model == "llama3.2"
    assert answer.created == 1_700_000_000
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "Hello."
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        26,
        9,
        35,
    )
    assert answer.usage.prompt_tokens_details is None


def test_cached_tokens_are_told_where_the_node_counts_them() -> None:
    answer = create(Exchange(whole=chat("Hello.", done="stop") | {"prompt_eval_cached_count": 20}))
    assert answer.usage.prompt_tokens == 26
    assert answer.usage.prompt_tokens_details.cached_tokens == 20


def test_a_stream_gives_the_text_piece_by_piece_and_one_reason() -> None:
    exchange = Exchange(lines=[chat("He"), chat("llo "), chat("wörld"), chat(done="stop")], heartbeats=2)
    chunks = stream(exchange)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["He", "llo ", "wörld", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-req1"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_when_the_client_asks_for_it() -> None:
    exchange = Exchange(lines=[chat("Hello"), chat(done="length")])
    *_, end, usage = stream(exchange, stream_options={"include_usage": True})
    assert end.choices[0].finish_reason == "length"
    assert usage.choices == []
    assert usage.usage.total_tokens == 35


def test_text_on_the_last_line_is_not_lost() -> None:
    chunks = stream(Exchange(lines=[chat("Hello", done="stop")]))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hello", None]


def test_an_empty_answer_still_has_a_role_and_a_reason() -> None:
    first, last = stream(Exchange(lines=[chat(done="stop")]))
    assert first.choices[0].delta.role == "assistant"
    assert last.choices[0].finish_reason == "stop"


def test_reasoning_has_both_names_that_clients_know() -> None:
    answer = create(Exchange(whole=chat("4", done="stop", thinking="2 and 2")))
    assert answer.choices[0].message.reasoning == "2 and 2"
    assert answer.choices[0].message.reasoning_content == "2 and 2"
    assert answer.choices[0].message.content == "4"


def test_reasoning_and_text_of_one_line_come_as_two_chunks() -> None:
    first, second, _ = stream(Exchange(lines=[chat("4", thinking="2 and 2"), chat(done="stop")]))
    assert first.choices[0].delta.reasoning == "2 and 2"
    assert first.choices[0].delta.content is None
    assert second.choices[0].delta.content == "4"


def test_tool_calls_have_ids_and_arguments_as_a_string() -> None:
    exchange = Exchange(whole=chat(done="stop", tool_calls=[call("weather", city="Paris")]))
    choice = create(exchange, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    found = choice.message.tool_calls[0]
    assert isinstance(found, FunctionCall)
    assert (found.id, found.function.name, found.function.arguments) == (
        "call_1",
        "weather",
        '{"city":"Paris"}',
    )


def test_streamed_tool_calls_are_numbered_through() -> None:
    lines = [
        chat(tool_calls=[call("weather", city="Paris")]),
        chat(tool_calls=[call("weather", "", city="Rome")]),
        chat(done="stop"),
    ]
    chunks = stream(Exchange(lines=lines), tools=[WEATHER])
    found = [one for chunk in chunks for one in chunk.choices[0].delta.tool_calls or ()]
    assert [one.index for one in found] == [0, 1]
    assert [one.id for one in found] == ["call_1", "call_req1_1"]
    assert [one.function.arguments for one in found] == ['{"city":"Paris"}', '{"city":"Rome"}']
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_clients_own_accumulator_takes_the_stream() -> None:
    lines = [chat(thinking="hm"), chat("Let me see."), chat(tool_calls=[call("weather", city="Rome")])]
    exchange = Exchange(lines=[*lines, chat(done="stop")])
    with exchange.openai().chat.completions.stream(model="m", messages=HELLO, tools=[WEATHER]) as running:
        final = running.get_final_completion()
    assert final.choices[0].message.content == "Let me see."
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Rome"}'


def test_logprobs_pass_through_whole_and_streamed() -> None:
    tokens = [
        {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1, "bytes": [72]}]}
    ]
    exchange = Exchange(whole=chat("Hi", done="stop", logprobs=tokens), lines=[chat("Hi", logprobs=tokens)])
    exchange.lines.append(chat(done="stop"))
    whole = create(exchange, logprobs=True, top_logprobs=1).choices[0].logprobs
    assert exchange.body["logprobs"] is True
    assert exchange.body["top_logprobs"] == 1
    streamed = stream(exchange, logprobs=True, top_logprobs=1)[0].choices[0].logprobs
    for found in (whole, streamed):
        assert found.content[0].token == "Hi"
        assert found.content[0].top_logprobs[0].bytes == [72]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([chat("He"), {"error": "llama-server process has terminated"}], "has terminated"),
        ([chat("He")], "without its end mark"),
        ([chat("He"), b"not json"], "not JSON"),
        ([{"error": "model runner has unexpectedly stopped"}], "unexpectedly stopped"),
    ],
)
def test_a_stream_that_breaks_raises_in_the_client(lines: list[dict[str, object] | bytes], says: str) -> None:
    with pytest.raises(openai.APIError, match=says) as caught:
        stream(Exchange(lines=lines))
    assert caught.value.body["request_id"] == "req1"
    assert caught.value.body["source"] == "node"


def test_a_refusal_before_the_stream_is_the_clients_own_exception() -> None:
    full = Failure(
        status=503, message="the queue is full", kind="queue_full", retry_after_s=7, should_retry=True
    )
    with pytest.raises(openai.InternalServerError, match="the queue is full") as caught:
        stream(Exchange(failure=full))
    assert caught.value.code == "queue_full"
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.response.headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_each_status_raises_its_own_exception(status: int, raised: type[openai.APIStatusError]) -> None:
    with pytest.raises(raised) as caught:
        create(Exchange(failure=Failure(status=status, message="no", kind="why", param="model")))
    assert caught.value.param == "model"
    assert caught.value.body["source"] == "bridge"


def test_a_bad_request_names_its_field_and_asks_for_no_retry() -> None:
    with pytest.raises(openai.BadRequestError, match="n must be 1") as caught:
        create(Exchange(), n=2)
    assert caught.value.param == "n"
    assert caught.value.response.headers["x-should-retry"] == "false"

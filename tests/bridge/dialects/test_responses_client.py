"""/v1/responses as the official openai package sees it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.bridge.dialects.exchange import Exchange, call, chat

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def create(exchange: Exchange, **fields: Any) -> Any:
    return exchange.openai().responses.create(**{"model": "llama3.2", "input": "hi"} | fields)


def stream(exchange: Exchange, **fields: Any) -> list[Any]:
    return list(create(exchange, stream=True, **fields))


def test_a_whole_response_has_text_usage_and_what_was_asked() -> None:
    exchange = Exchange(whole=chat("Hello.", done="stop"))
    response = create(
        exchange, instructions="Be brief", max_output_tokens=50, metadata={"a": "b"}, tools=[WEATHER]
    )
    assert response.id == "resp_req1"
    assert response.status == "completed"
    assert response.output_text == "Hello."
    assert response.instructions == "Be brief"
    assert response.max_output_tokens == 50
    assert response.metadata == {"a": "b"}
    assert response.tools[0].name == "weather"
    assert response.tool_choice == "auto"
    assert response.temperature is None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (26, 9)
    assert response.usage.input_tokens_details.cached_tokens == 0
    assert response.store is False


def test_a_stream_has_every_event_of_a_message_in_order() -> None:
    events = stream(Exchange(lines=[chat("He"), chat("llo"), chat(done="stop")], heartbeats=1))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    assert events[6].text == "Hello"
    assert events[-1].response.output_text == "Hello"
    assert events[-1].response.usage.total_tokens == 35
    assert {event.item_id for event in events[3:8]} == {events[2].item.id}


def test_reasoning_text_and_calls_are_items_one_after_the_other() -> None:
    lines = [
        chat(thinking="I should "),
        chat(thinking="look."),
        chat("Let me see."),
        chat(tool_calls=[call("weather", city="Rome"), call("weather", "", city="Oslo")]),
        chat(done="stop"),
    ]
    events = stream(Exchange(lines=lines), tools=[WEATHER])
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [event.item.type for event in added] == ["reasoning", "message", "function_call", "function_call"]
    assert [event.output_index for event in added] == [0, 1, 2, 3]
    reasoning, message, first, second = events[-1].response.output
    assert reasoning.summary[0].text == "I should look."
    assert message.content[0].text == "Let me see."
    assert (first.call_id, first.name, first.arguments) == ("call_1", "weather", '{"city":"Rome"}')
    assert second.call_id
    kinds = [event.type for event in events]
    assert kinds.count("response.reasoning_summary_text.delta") == 2
    assert kinds.count("response.reasoning_summary_part.added") == 1
    assert kinds.count("response.function_call_arguments.done") == 2
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_clients_own_accumulator_takes_the_stream() -> None:
    lines = [
        chat(thinking="hm"),
        chat("Sure. "),
        chat(tool_calls=[call("weather", city="Rome")]),
        chat("Done."),
    ]
    exchange = Exchange(lines=[*lines, chat(done="stop")])
    with exchange.openai().responses.stream(model="m", input="hi", tools=[WEATHER]) as running:
        final = running.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "message"]
    assert final.output_text == "Sure. Done."


def test_a_whole_response_has_the_same_items_as_a_stream() -> None:
    whole = chat("Sure.", done="stop", thinking="hm", tool_calls=[call("weather", city="Rome")])
    lines = [
        chat(thinking="hm"),
        chat("Sure."),
        chat(tool_calls=[call("weather", city="Rome")]),
        chat(done="stop"),
    ]
    exchange = Exchange(whole=whole, lines=lines)
    plain = create(exchange, tools=[WEATHER])
    streamed = stream(exchange, tools=[WEATHER])[-1].response
    assert plain.to_dict() == streamed.to_dict()


def test_a_response_cut_by_its_bound_is_incomplete() -> None:
    whole = create(Exchange(whole=chat("Hel", done="length")))
    last = stream(Exchange(lines=[chat("Hel"), chat(done="length")]))[-1]
    assert last.type == "response.incomplete"
    for response in (whole, last.response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output[0].status == "incomplete"


def test_a_silent_model_gives_an_empty_message() -> None:
    response = stream(Exchange(lines=[chat(done="stop")]))[-1].response
    assert response.output[0].content[0].text == ""


def test_a_tool_of_a_namespace_comes_back_with_its_namespace() -> None:
    member = {"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}
    space = {"type": "namespace", "name": "crm", "description": "Customers", "tools": [member]}
    exchange = Exchange(whole=chat(done="stop", tool_calls=[call("crm.search", q="x")]))
    found = create(exchange, tools=[space]).output[0]
    assert exchange.body["tools"][0]["function"]["name"] == "crm.search"
    assert (found.namespace, found.name) == ("crm", "search")


def test_logprobs_come_with_their_text() -> None:
    tokens = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}]
    exchange = Exchange(whole=chat("Hi", done="stop", logprobs=tokens), lines=[chat("Hi", logprobs=tokens)])
    exchange.lines.append(chat(done="stop"))
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    assert create(exchange, **asked).output[0].content[0].logprobs[0].token == "Hi"
    assert exchange.body["top_logprobs"] == 2
    delta = next(event for event in stream(exchange, **asked) if event.type == "response.output_text.delta")
    assert delta.logprobs[0].logprob == -0.1


@pytest.mark.parametrize("lines", [[chat("He"), {"error": "out of memory"}], [{"error": "out of memory"}]])
def test_a_stream_that_breaks_fails_the_response_and_raises(lines: list[dict[str, Any] | bytes]) -> None:
    seen: list[Any] = []
    running = create(Exchange(lines=lines), stream=True)
    with pytest.raises(openai.APIError, match="out of memory"):
        seen.extend(running)  # what came before the exception stays in the list
    assert seen[-1].type == "response.failed"
    assert seen[-1].response.status == "failed"
    assert seen[-1].response.error.message == "out of memory"


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"prompt": {"id": "p"}},
    ],
)
def test_what_needs_stored_state_is_refused_with_the_way_out(fields: dict[str, Any]) -> None:
    with pytest.raises(
        openai.BadRequestError, match=r"is not supported: the bridge (stores|keeps) no"
    ) as caught:
        create(Exchange(), **fields)
    assert caught.value.param in fields

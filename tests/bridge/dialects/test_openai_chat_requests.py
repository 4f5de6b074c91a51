"""What becomes of each field of /v1/chat/completions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.dialects import openai_chat
from bridge.dialects.inner import BadRequest, Inner

PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def read(*messages: dict[str, Any], **fields: Any) -> Inner:
    said = list(messages) or [{"role": "user", "content": "hi"}]
    return openai_chat.read(orjson.dumps({"model": "m", "messages": said} | fields))


def native(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(*messages).body["messages"]
    return found


def options(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = read(**fields).body.get("options", {})
    return found


def refused(says: str, *messages: dict[str, Any], **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest, match=says) as caught:
        read(*messages, **fields)
    return caught.value


def test_a_request_does_not_stream_unless_it_asks() -> None:
    assert read().stream is False
    assert read(stream=True).body["stream"] is True


def test_a_developer_is_a_system_to_open_models() -> None:
    roles = [{"role": role, "content": "x"} for role in ("system", "developer", "User", "assistant")]
    assert [message["role"] for message in native(*roles)] == ["system", "system", "user", "assistant"]


def test_parts_of_text_become_one_message() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert native({"role": "user", "content": parts}) == [{"role": "user", "content": "one\ntwo"}]


def test_images_of_data_uris_go_beside_the_text() -> None:
    parts = [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "image_url", "image_url": "data:;base64,iVBORw0KGgo="},
    ]
    inner = read({"role": "user", "content": parts})
    assert inner.body["messages"] == [{"role": "user", "content": "what?", "images": ["iVBORw0KGgo="] * 2}]
    assert inner.images == 2
    assert inner.needs == {"completion", "vision"}


def test_an_image_by_url_is_refused_with_the_way_out() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    bad = refused("image URLs are not supported", {"role": "user", "content": [part]})
    assert "data:image/png;base64" in bad.message
    assert bad.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    "url", ["data:image/gif;base64,aGk=", "data:image/png;base64,???", "data:image/png;base64,", "cat.png"]
)
def test_an_image_that_no_node_takes_is_refused(url: str) -> None:
    refused("must be", {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})


def test_audio_needs_a_model_that_hears() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZFZm10IA==", "format": "wav"}}
    inner = read({"role": "user", "content": [part]})
    assert inner.needs == {"completion", "audio"}
    assert inner.body["messages"][0]["images"] == ["UklGRiQAAABXQVZFZm10IA=="]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "files are not supported"),
        ({"role": "user", "content": [{"type": "video_url"}]}, "type takes text, image_url or input_audio"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\].text is required"),
        ({"role": "user", "content": ["hi"]}, r"content\[0\] must be an object, not a string"),
        ({"role": "user", "content": 5}, "content must be a string or an array of parts, not a number"),
        ({"role": "user"}, "content must be a string or an array of parts, not null"),
        ({"role": "robot", "content": "x"}, "role takes system, developer, user, assistant or tool"),
        ({"content": "x"}, r"messages\[0\].role is required"),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "input_audio.data is required",
        ),
    ],
)
def test_a_message_that_cannot_be_read_is_named(message: dict[str, Any], says: str) -> None:
    bad = refused(says, message)
    assert bad.param is not None
    assert bad.param.startswith("messages[0]")


def test_no_messages_are_refused_in_ollamas_words() -> None:
    refused(r"\[\] is too short - 'messages'", messages=[])


def test_tool_calls_and_their_results_find_each_other() -> None:
    said = native(
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c9", "name": "given", "content": [{"type": "text", "text": "x"}]},
    )
    function = {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}
    assert said[0]["tool_calls"] == [{"id": "c1", "function": function}]
    assert said[0]["content"] == ""
    assert said[1] == {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "c1"}
    assert said[2]["tool_name"] == "given"


@pytest.mark.parametrize(("given", "expected"), [("", {}), ({"a": 1}, {"a": 1}), (None, {})])
def test_arguments_may_be_empty_or_an_object_already(given: Any, expected: dict[str, Any]) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": given}}
    said = native({"role": "assistant", "content": "", "tool_calls": [call]})
    assert said[0]["tool_calls"][0]["function"]["arguments"] == expected


@pytest.mark.parametrize("text", ["{broken", "[1]", '"x"', 5])
def test_arguments_that_are_no_object_are_refused(text: Any) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": text}}
    bad = refused("arguments must be a", {"role": "assistant", "content": "", "tool_calls": [call]})
    assert bad.param == "messages[0].tool_calls[0].function.arguments"


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content", "thinking"])
def test_earlier_reasoning_returns_to_the_model_under_any_of_its_names(key: str) -> None:
    assert native({"role": "assistant", "content": "4", key: "2 and 2"})[0]["thinking"] == "2 and 2"


def test_tools_pass_without_what_a_node_does_not_know() -> None:
    inner = read(tools=[tool("f", description="d", strict=True, parameters={"type": "object"}), tool("g")])
    first, second = inner.body["tools"]
    assert first["function"] == {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert second["function"]["parameters"] == {"type": "object", "properties": {}}
    assert inner.needs == {"completion", "tools"}
    assert inner.prompt_bytes > 2


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["f", "g"]),
        ("auto", ["f", "g"]),
        ("required", ["f", "g"]),
        ("none", []),
        ({"type": "function", "function": {"name": "g"}}, ["g"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("f")]}},
            ["f"],
        ),
    ],
)
def test_tool_choice_decides_what_the_model_sees(choice: Any, names: list[str]) -> None:
    inner = read(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert [one["function"]["name"] for one in inner.body.get("tools", [])] == names
    assert ("tools" in inner.needs) == bool(names)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ("maybe", 'tool_choice takes "none", "auto", "required"'),
        ({"type": "function", "function": {"name": "h"}}, "which is not among the tools"),
        ({"type": "function"}, "tool_choice.name is required"),
        ({"type": "web_search"}, "tool_choice.type takes"),
    ],
)
def test_a_choice_that_cannot_be_kept_is_refused(choice: Any, says: str) -> None:
    refused(says, tools=[tool("f")], tool_choice=choice)


def test_tools_other_than_functions_are_refused() -> None:
    refused(r'tools\[0\].type takes "function"', tools=[{"type": "custom", "custom": {"name": "x"}}])
    refused("functions is no longer supported", functions=[{"name": "f"}])


@pytest.mark.parametrize(
    ("wanted", "passed"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            {"type": "object"},
        ),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, "json"),
    ],
)
def test_a_response_format_becomes_a_format(wanted: dict[str, Any], passed: Any) -> None:
    assert read(response_format=wanted).body.get("format") == passed


def test_another_response_format_is_refused() -> None:
    refused("response_format.type takes text, json_object or json_schema", response_format={"type": "xml"})


def test_what_is_left_out_stays_out_so_that_the_models_own_defaults_hold() -> None:
    assert "options" not in read().body


def test_sampling_fields_become_options() -> None:
    given = {
        "temperature": 0,
        "top_p": 0.5,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
    }
    assert options(**given, stop="x") == given | {"stop": ["x"]}
    assert options(stop=["a", "b"]) == {"stop": ["a", "b"]}
    assert options(stop=[], seed=None) == {}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"temperature": "hot"}, "temperature must be a number, not a string"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": 2.0**64}, "seed must be a whole number"),
        ({"stop": [1]}, r"stop\[0\] must be a string"),
        ({"max_tokens": -5}, "max_tokens must be a positive number"),
        ({"stream_options": []}, "stream_options must be an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage must be a boolean"),
        ({"reasoning_effort": "extreme"}, 'reasoning_effort is "extreme"; it takes one of "none"'),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs must be between 0 and 20"),
        ({"n": 2}, "n must be 1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(fields: dict[str, Any], says: str) -> None:
    refused(says, **fields)


@pytest.mark.parametrize(
    ("fields", "passed", "bound"),
    [
        ({"max_tokens": 9}, 9, 9),
        ({"max_completion_tokens": 9}, 9, 9),
        ({"max_tokens": 9, "max_completion_tokens": 5}, 5, 5),
        ({"max_tokens": 0}, 1, 1),
        ({"max_completion_tokens": 0}, 1, 1),
        ({"max_tokens": -1}, -1, None),
        ({"options": {"num_predict": 3}}, 3, 3),
    ],
)
def test_either_bound_of_the_output_holds(fields: dict[str, Any], passed: int, bound: int | None) -> None:
    assert options(**fields)["num_predict"] == passed
    assert read(**fields).max_tokens == bound


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "medium"}, "medium"),
        ({"reasoning_effort": "xhigh"}, "max"),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, "high"),
        ({"think": True, "reasoning_effort": "low"}, True),
    ],
)
def test_effort_decides_how_much_the_model_thinks(fields: dict[str, Any], think: Any) -> None:
    inner = read(**fields)
    assert inner.body.get("think") == think
    assert ("thinking" in inner.needs) == bool(think)


def test_ollamas_own_fields_work_here_too() -> None:
    inner = read(options={"num_ctx": 4096, "mirostat": 1, "top_k": 3}, keep_alive=-1, top_k=5)
    assert inner.num_ctx == 4096
    assert inner.keep_alive_s == float("inf")
    assert inner.body["options"] == {"mirostat": 1, "top_k": 5}


def test_unknown_fields_are_ignored() -> None:
    inner = read(
        logit_bias={"1": 2}, user="u", store=True, metadata={}, service_tier="auto", brand_new=1, n=1
    )
    assert set(inner.body) == {"messages", "stream"}


def test_usage_is_asked_for_in_stream_options() -> None:
    assert read(stream=True, stream_options={"include_usage": True}).include_usage
    assert not read(stream=True).include_usage


def test_prompt_bytes_count_messages_and_tools() -> None:
    assert read().prompt_bytes == 2
    more = read(
        {"role": "user", "content": "abc"},
        {"role": "assistant", "content": "d", "reasoning": "ef", "tool_calls": [CALL]},
    )
    assert more.prompt_bytes == 3 + 1 + 2 + len("weather") + len('{"city":"Rome"}')

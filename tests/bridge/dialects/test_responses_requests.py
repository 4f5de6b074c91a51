"""What becomes of each field of /v1/responses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.dialects import openai_responses
from bridge.dialects.inner import BadRequest, Inner

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
NATIVE = {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}}


def read(**fields: Any) -> Inner:
    return openai_responses.read(orjson.dumps({"model": "m", "input": "hi"} | fields))


def messages(*items: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(input=list(items)).body["messages"]
    return found


def test_instructions_come_before_the_input() -> None:
    assert read(instructions="Be brief").body["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "hi"},
    ]


def test_messages_may_leave_their_type_out() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:;base64,aGk="}]
    said = messages(
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": parts},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "y"}],
        },
    )
    assert said == [
        {"role": "system", "content": "d"},
        {"role": "user", "content": "a", "images": ["aGk="]},
        {"role": "assistant", "content": "x\ny"},
    ]


def test_calls_join_the_assistants_message_before_them() -> None:
    said = messages({"role": "assistant", "content": "Let me see."}, CALL, RESULT)
    assert said == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [NATIVE]},
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "c1"},
    ]


def test_a_message_between_a_call_and_its_result_joins_the_call() -> None:
    said = messages(CALL, {"role": "assistant", "content": "One moment."}, RESULT)
    assert [message["role"] for message in said] == ["assistant", "tool"]
    assert said[0] == {"role": "assistant", "content": "One moment.", "tool_calls": [NATIVE]}


def test_reasoning_returns_to_what_it_led_to() -> None:
    thought = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "zz",
    }
    full = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "long"}]}
    said = messages(
        thought, {"role": "assistant", "content": "4"}, {"role": "user", "content": "?"}, full, CALL, RESULT
    )
    assert said[0] == {"role": "assistant", "content": "4", "thinking": "hm"}
    assert said[2]["thinking"] == "long"
    assert said[2]["tool_calls"] == [NATIVE]
    assert messages({"role": "user", "content": "?"}, thought)[-1] == {
        "role": "assistant",
        "content": "",
        "thinking": "hm",
    }


def test_results_may_have_parts() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:;base64,aGk="}]
    said = messages(CALL, RESULT | {"output": output})
    assert said[1]["content"] == "a"
    assert said[1]["images"] == ["aGk="]


def test_a_call_of_a_namespace_has_one_flat_name() -> None:
    said = messages(CALL | {"namespace": "geo"}, RESULT)
    assert said[0]["tool_calls"][0]["function"]["name"] == "geo.weather"
    assert said[1]["tool_name"] == "geo.weather"


def test_traces_of_hosted_searches_are_left_out() -> None:
    assert len(messages({"type": "web_search_call", "id": "w"}, {"role": "user", "content": "x"})) == 1


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"type": "item_reference", "id": "x"}, r"input\[0\] refers to a stored item"),
        ({"type": "computer_call"}, r"input\[0\].type is not supported"),
        ({}, r"input\[0\].type is not supported"),
        ("hi", r"input\[0\] must be an object"),
        ({"role": "robot", "content": "x"}, "role takes system"),
        (CALL | {"arguments": "{"}, "arguments must be a JSON object in a string"),
        (CALL | {"call_id": None}, r"input\[0\].call_id is required"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "files are not supported"),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "the bridge stores no files",
        ),
    ],
)
def test_an_item_that_cannot_be_read_is_named(item: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        messages(item)


@pytest.mark.parametrize(
    ("given", "says"), [(None, "is required"), ("", "is required"), ([], "is required"), (5, "must be")]
)
def test_there_must_be_input(given: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=f"input {says}"):
        read(input=given)


def test_functions_pass_and_hosted_tools_are_left_out() -> None:
    function = {
        "type": "function",
        "name": "f",
        "description": "d",
        "parameters": {"type": "object"},
        "strict": True,
    }
    inner = read(tools=[function, {"type": "web_search"}, {"type": "custom", "name": "x"}])
    assert inner.body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    ]
    assert inner.needs == {"completion", "tools"}


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("required", ["f", "g"]),
        ({"type": "function", "name": "g"}, ["g"]),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}],
            },
            ["f"],
        ),
    ],
)
def test_tool_choice_decides_what_the_model_sees(choice: Any, names: list[str]) -> None:
    tools = [{"type": "function", "name": name, "parameters": None} for name in "fg"]
    inner = read(tools=tools, tool_choice=choice)
    assert [tool["function"]["name"] for tool in inner.body.get("tools", [])] == names


@pytest.mark.parametrize(
    ("wanted", "passed"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "name": "n", "schema": {"type": "object"}}, {"type": "object"}),
    ],
)
def test_a_text_format_becomes_a_format(wanted: dict[str, Any], passed: Any) -> None:
    assert read(text={"format": wanted, "verbosity": "low"}).body.get("format") == passed


def test_effort_is_a_wish_that_a_model_may_not_have() -> None:
    inner = read(reasoning={"effort": "high", "summary": "auto"})
    assert inner.body["think"] == "high"
    assert inner.wants == {"thinking"}
    assert "thinking" not in inner.needs
    inner.without("thinking")
    assert "think" not in inner.body
    assert inner.wants == set()
    assert read(reasoning={"effort": "none"}).body["think"] is False


def test_the_bound_of_the_output_holds() -> None:
    assert read(max_output_tokens=0).body["options"] == {"num_predict": 1}
    assert read(max_output_tokens=9).max_tokens == 9


def test_unknown_fields_are_ignored() -> None:
    inner = read(store=True, user="u", service_tier="auto", max_tool_calls=3, background=False, brand_new=1)
    assert set(inner.body) == {"messages", "stream"}

"""What becomes of each field of /v1/messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.dialects import anthropic
from bridge.dialects.inner import BadRequest, Inner

USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}


def read(*messages: dict[str, Any], **fields: Any) -> Inner:
    said = list(messages) or [{"role": "user", "content": "hi"}]
    return anthropic.read(orjson.dumps({"model": "m", "max_tokens": 10, "messages": said} | fields))


def native(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(*messages, **fields).body["messages"]
    return found


def refused(says: str, *messages: dict[str, Any], **fields: Any) -> None:
    with pytest.raises(BadRequest, match=says):
        read(*messages, **fields)


@pytest.mark.parametrize(
    ("system", "text"),
    [
        ("Be brief", "Be brief"),
        ([{"type": "text", "text": "a", "cache_control": {}}, {"type": "text", "text": "b"}], "a\nb"),
    ],
)
def test_the_system_prompt_is_the_first_message(system: Any, text: str) -> None:
    assert native(system=system)[0] == {"role": "system", "content": text}


@pytest.mark.parametrize("system", ["", [], None])
def test_an_empty_system_prompt_is_none(system: Any) -> None:
    assert native(system=system) == [{"role": "user", "content": "hi"}]


def test_blocks_of_text_and_images_become_one_message() -> None:
    said = native(
        {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}]}
    )
    assert said == [{"role": "user", "content": "a\nb", "images": ["aGk="]}]
    assert read({"role": "user", "content": [IMAGE]}).needs == {"completion", "vision"}


def test_text_documents_are_read_and_others_refused() -> None:
    document = {"type": "document", "title": "T", "source": {"type": "text", "data": "body"}}
    assert native({"role": "user", "content": [document]})[0]["content"] == "T\nbody"
    pdf = {"type": "document", "source": {"type": "base64", "data": "aGk="}}
    refused("other documents are not supported", {"role": "user", "content": [pdf]})


def test_tool_use_and_its_result_find_each_other() -> None:
    said = native(
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, USE]},
        {"role": "user", "content": [{"type": "text", "text": "and now?"}, RESULT]},
    )
    function = {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}
    assert said == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"id": "c1", "function": function}],
        },
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "c1"},
        {"role": "user", "content": "and now?"},
    ]


def test_a_failed_tool_says_so_in_its_text() -> None:
    failed = RESULT | {"is_error": True, "content": [{"type": "text", "text": "no network"}, IMAGE]}
    (result,) = native({"role": "user", "content": [failed]})
    assert result["content"] == "Error: no network"
    assert result["images"] == ["aGk="]


def test_sealed_thinking_and_traces_of_hosted_tools_are_left_out() -> None:
    blocks = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "found"},
    ]
    assert native({"role": "assistant", "content": blocks}) == [{"role": "assistant", "content": "found"}]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "user"}, r"messages\[0\].content is required"),
        ({"role": "robot", "content": "x"}, "role takes user or assistant"),
        ({"role": "user", "content": [{"type": "video"}]}, r"content\[0\].type takes text, image"),
        ({"role": "user", "content": ["x"]}, r"content\[0\] must be an object"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\].text is required"),
        ({"role": "user", "content": 5}, "must be a string or an array of blocks"),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]},
            "the bridge fetches no URLs",
        ),
        ({"role": "user", "content": [{"type": "tool_result"}]}, "tool_use_id is required"),
        ({"role": "assistant", "content": [USE | {"id": ""}]}, "id is required"),
        ({"role": "assistant", "content": [USE | {"input": "x"}]}, "input must be an object"),
    ],
)
def test_a_message_that_cannot_be_read_is_named(message: dict[str, Any], says: str) -> None:
    refused(says, message)


@pytest.mark.parametrize("given", [None, 0, -1])
def test_max_tokens_is_required(given: int | None) -> None:
    refused("max_tokens is required and must be positive", max_tokens=given)
    assert read().body["options"] == {"num_predict": 10}
    assert read().max_tokens == 10


def test_messages_are_required() -> None:
    refused("messages is required", messages=[])


def test_sampling_fields_become_options() -> None:
    inner = read(
        temperature=0.1, top_p=0.2, top_k=3, stop_sequences=["x"], options={"num_ctx": 4096}, keep_alive="1m"
    )
    assert inner.body["options"] == {
        "num_predict": 10,
        "temperature": 0.1,
        "top_p": 0.2,
        "top_k": 3,
        "stop": ["x"],
    }
    assert inner.num_ctx == 4096
    assert inner.keep_alive_s == 60


def test_own_tools_pass_and_hosted_ones_are_left_out() -> None:
    inner = read(
        tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}, TOOL | {"type": "custom"}]
    )
    shape = {"name": "weather", "description": "d", "parameters": {"type": "object"}}
    assert inner.body["tools"] == [{"type": "function", "function": shape}] * 2
    assert inner.needs == {"completion", "tools"}


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather", "g"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["weather", "g"]),
        ({"type": "any"}, ["weather", "g"]),
        ({"type": "none"}, []),
        ({"type": "tool", "name": "g"}, ["g"]),
    ],
)
def test_tool_choice_decides_what_the_model_sees(choice: Any, names: list[str]) -> None:
    inner = read(tools=[TOOL, TOOL | {"name": "g"}], tool_choice=choice)
    assert [tool["function"]["name"] for tool in inner.body.get("tools", [])] == names


def test_a_choice_that_cannot_be_kept_is_refused() -> None:
    refused("which is not among the tools", tools=[TOOL], tool_choice={"type": "tool", "name": "h"})
    refused("tool_choice.type takes auto, any, tool or none", tools=[TOOL], tool_choice={"type": "maybe"})


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, True),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, False),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}}, "low"),
        ({"output_config": {"effort": "xhigh"}}, "max"),
    ],
)
def test_thinking_is_a_wish_that_a_model_may_not_have(fields: dict[str, Any], think: Any) -> None:
    inner = read(**fields)
    assert inner.body.get("think") == think
    assert ("thinking" in inner.wants) == bool(think)
    assert "thinking" not in inner.needs


def test_an_output_format_becomes_a_format() -> None:
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert read(output_config=wanted).body["format"] == {"type": "object"}


def test_unknown_fields_are_ignored() -> None:
    inner = read(metadata={"user_id": "u"}, service_tier="auto", container="c", brand_new=1)
    assert set(inner.body) == {"messages", "options", "stream"}

"""POST /v1/responses, without stored state: the client sends the whole conversation each time."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects import fields, responses_input, sampling, thinking, tools
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Dialect, Inner
from bridge.dialects.openai_chat import answer_format, top_logprobs
from bridge.dialects.openai_shapes import failure
from bridge.dialects.responses_reply import Response

__all__ = ["RESPONSES", "read"]

_STORED = {
    "previous_response_id": "the bridge stores no responses; send the earlier items in input",
    "conversation": "the bridge stores no conversations; send the earlier items in input",
    "prompt": "the bridge stores no prompts; send the text in instructions and input",
    "background": "the bridge keeps no responses to fetch later; use stream instead",
}


def read(payload: bytes) -> Inner:
    """The request as one for /api/chat. Raises BadRequest."""
    body = fields.parse(payload)
    for key, why in _STORED.items():
        if body.get(key):
            raise BadRequest(f"{key} is not supported: {why}", param=key)
    conversation = responses_input.read(body)
    native: Object = {"messages": conversation.messages}
    declared, namespaces = _tools(fields.mappings(body, "tools") or [], "tools")
    if declared := tools.chosen(declared, body.get("tool_choice")):
        native["tools"] = declared
        conversation.add_tools(declared)
    text = fields.mapping(body, "text") or {}
    if (wanted := answer_format(fields.mapping(text, "format", "text."), "text.format")) is not None:
        native["format"] = wanted
    reasoning = fields.mapping(body, "reasoning") or {}
    think = thinking.from_effort(fields.string(reasoning, "effort", "reasoning."), "reasoning.effort")
    if (think := thinking.native(body) if think is None else think) is not None:
        native["think"] = think
    if "message.output_text.logprobs" in (fields.strings(body, "include") or ()):
        native |= {"logprobs": True, "top_logprobs": top_logprobs(body)}
    return sampling.inner(
        body,
        native,
        route="chat",
        limits=("max_output_tokens",),
        needs=frozenset(conversation.needs),
        # Agents send an effort with every request, also to models that do not reason.
        wants=frozenset({"thinking"} if think else ()),
        prompt_bytes=conversation.prompt_bytes,
        images=conversation.images,
        echo={"settings": _settings(body), "namespaces": namespaces},
    )


def _tools(given: list[Object], where: str) -> tuple[list[dict[str, Any]], dict[str, tuple[str, str]]]:
    """Functions as a node takes them, and which of their names stand for (namespace, name).

    Hosted tools (web_search, file_search, ...) are left out: nothing here could run them.
    """
    declared: list[dict[str, Any]] = []
    namespaces: dict[str, tuple[str, str]] = {}
    for at, tool in enumerate(given):
        inside = f"{where}[{at}]."
        if tool.get("type") == "function":
            declared.append(_function(tool, inside))
        elif tool.get("type") == "namespace":
            space = fields.required(fields.string(tool, "name", inside), f"{inside}name")
            for index, member in enumerate(fields.mappings(tool, "tools", inside) or ()):
                if member.get("type") != "function":
                    continue
                shape = _function(member, f"{inside}tools[{index}].")
                name = tools.name_of(shape)
                shape["function"]["name"] = flat = responses_input.flat_name(space, name)
                namespaces[flat] = (space, name)
                declared.append(shape)
    return declared, namespaces


def _function(tool: Object, where: str) -> dict[str, Any]:
    return tools.function(
        fields.required(fields.string(tool, "name", where), f"{where}name"),
        fields.string(tool, "description", where),
        fields.mapping(tool, "parameters", where),
    )


def _settings(body: Object) -> bytes:
    """What a response repeats of its request, as the JSON of an object."""
    settings = {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": fields.mapping(body, "metadata") or {},
        "parallel_tool_calls": fields.boolean(body, "parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": body.get("reasoning"),
        "service_tier": "default",
        "store": False,
        "temperature": body.get("temperature"),  # null: the model's own default holds
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": fields.string(body, "truncation") or "disabled",
    }
    try:
        return orjson.dumps(settings)
    except TypeError:
        raise BadRequest("the request is nested too deeply; at most 250 levels") from None


RESPONSES = Dialect(name="openai-responses", read=read, encoder=Response, failure=failure)

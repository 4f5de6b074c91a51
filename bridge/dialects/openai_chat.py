"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import Any

from bridge.dialects import fields, openai_messages, sampling, thinking, tools
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Dialect, Inner
from bridge.dialects.openai_chat_reply import ChatCompletion
from bridge.dialects.openai_shapes import failure

__all__ = ["CHAT_COMPLETIONS", "read"]

LIMITS = ("max_completion_tokens", "max_tokens")


def read(payload: bytes) -> Inner:
    """The request as one for /api/chat. Raises BadRequest."""
    body = fields.parse(payload)
    refuse_many(body, "n")
    conversation = openai_messages.read(body)
    native: Object = {"messages": conversation.messages}
    if declared := tools.chosen(_tools(body), body.get("tool_choice")):
        native["tools"] = declared
        conversation.add_tools(declared)
    if (wanted := answer_format(fields.mapping(body, "response_format"), "response_format")) is not None:
        native["format"] = wanted
    if (think := _think(body)) is not None:
        native["think"] = think
        conversation.needs |= {"thinking"} if think else set()
    if fields.boolean(body, "logprobs"):
        native |= {"logprobs": True, "top_logprobs": top_logprobs(body)}
    return sampling.inner(
        body,
        native,
        route="chat",
        limits=LIMITS,
        needs=frozenset(conversation.needs),
        prompt_bytes=conversation.prompt_bytes,
        images=conversation.images,
        include_usage=include_usage(body),
    )


def refuse_many(body: Object, *names: str) -> None:
    """A node generates one answer for a request."""
    for name in names:
        if (fields.integer(body, name) or 1) != 1:
            raise BadRequest(f"{name} must be 1: send one request for each answer", param=name)


def include_usage(body: Object) -> bool:
    """Whether a stream is to end with a chunk of usage."""
    wanted = fields.mapping(body, "stream_options") or {}
    return bool(fields.boolean(wanted, "include_usage", "stream_options."))


def top_logprobs(body: Object) -> int:
    """How many alternatives to show for each token, 0 to 20."""
    count = fields.integer(body, "top_logprobs") or 0
    if not 0 <= count <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    return count


def answer_format(of: Object | None, where: str) -> Any:
    """A node's `format`: None for text, "json", or a JSON schema. Chat nests the schema once deeper."""
    kind = fields.string(of, "type", f"{where}.") if of else None
    if of is None or kind in (None, "text"):
        return None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        holder = fields.mapping(of, "json_schema", f"{where}.") or of
        return fields.mapping(holder, "schema", f"{where}.") or "json"
    raise BadRequest(f"{where}.type takes text, json_object or json_schema", param=f"{where}.type")


def _tools(body: Object) -> list[dict[str, Any]]:
    if body.get("functions"):
        raise BadRequest("functions is no longer supported; declare them in tools", param="functions")
    declared = []
    for at, tool in enumerate(fields.mappings(body, "tools") or ()):
        where = f"tools[{at}]."
        if tool.get("type", "function") != "function":
            raise BadRequest(f'{where}type takes "function"', param=f"{where}type")
        function = fields.mapping(tool, "function", where) or {}
        inside = f"{where}function."
        declared.append(
            tools.function(
                fields.required(fields.string(function, "name", inside), f"{inside}name"),
                fields.string(function, "description", inside),
                fields.mapping(function, "parameters", inside),
            )
        )
    return declared


def _think(body: Object) -> thinking.Think | None:
    if (think := thinking.native(body)) is not None:
        return think
    reasoning = fields.mapping(body, "reasoning") or {}
    if effort := fields.string(reasoning, "effort", "reasoning."):
        return thinking.from_effort(effort, "reasoning.effort")
    return thinking.from_effort(fields.string(body, "reasoning_effort"), "reasoning_effort")


CHAT_COMPLETIONS = Dialect(name="openai-chat", read=read, encoder=ChatCompletion, failure=failure)

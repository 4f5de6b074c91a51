"""POST /v1/messages."""

from __future__ import annotations

from typing import Any

from bridge.dialects import anthropic_messages, fields, sampling, thinking, tools
from bridge.dialects.anthropic_reply import Message
from bridge.dialects.anthropic_shapes import failure
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Dialect, Inner
from bridge.dialects.openai_chat import answer_format

__all__ = ["MESSAGES", "read"]


def read(payload: bytes) -> Inner:
    """The request as one for /api/chat. Raises BadRequest."""
    body = fields.parse(payload)
    fields.model(body)  # said first, as the first thing that is missing
    max_tokens = fields.integer(body, "max_tokens")
    if max_tokens is None or max_tokens < 1:
        raise BadRequest("max_tokens is required and must be positive", param="max_tokens")
    conversation = anthropic_messages.read(body)
    native: Object = {"messages": conversation.messages}
    if declared := _chosen(_tools(body), fields.mapping(body, "tool_choice")):
        native["tools"] = declared
        conversation.add_tools(declared)
    output = fields.mapping(body, "output_config") or {}
    wanted = fields.mapping(output, "format", "output_config.")
    if (form := answer_format(wanted, "output_config.format")) is not None:
        native["format"] = form
    if (think := _think(body, output)) is not None:
        native["think"] = think
    return sampling.inner(
        body,
        native,
        route="chat",
        limits=("max_tokens",),
        stop="stop_sequences",
        needs=frozenset(conversation.needs),
        # Agents ask for thinking whatever the model; a node is as lenient on its own /v1/messages.
        wants=frozenset({"thinking"} if think else ()),
        prompt_bytes=conversation.prompt_bytes,
        images=conversation.images,
    )


def _tools(body: Object) -> list[dict[str, Any]]:
    """The client's own tools. Those that Anthropic runs itself have a type of their own, and are left out."""
    declared = []
    for at, tool in enumerate(fields.mappings(body, "tools") or ()):
        where = f"tools[{at}]."
        if tool.get("type", "custom") not in (None, "custom"):
            continue
        declared.append(
            tools.function(
                fields.required(fields.string(tool, "name", where), f"{where}name"),
                fields.string(tool, "description", where),
                fields.mapping(tool, "input_schema", where),
            )
        )
    return declared


def _chosen(declared: list[dict[str, Any]], choice: Object | None) -> list[dict[str, Any]]:
    kind = choice.get("type") if choice else "auto"
    if choice is None or kind in ("auto", "any"):
        return declared
    if kind == "none":
        return []
    if kind == "tool":
        name = fields.required(fields.string(choice, "name", "tool_choice."), "tool_choice.name")
        return tools.only(declared, [name], "tool_choice.name")
    raise BadRequest("tool_choice.type takes auto, any, tool or none", param="tool_choice.type")


def _think(body: Object, output: Object) -> thinking.Think | None:
    """None leaves it to the model, which is also what "adaptive" means."""
    asked = (fields.mapping(body, "thinking") or {}).get("type")
    if asked == "disabled":
        return False
    effort = thinking.from_effort(fields.string(output, "effort", "output_config."), "output_config.effort")
    if asked == "enabled":
        return effort or True
    return thinking.native(body) if effort is None else effort


MESSAGES = Dialect(name="anthropic-messages", read=read, encoder=Message, failure=failure)

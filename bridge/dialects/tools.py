"""Tools that a request declares, and which of them it lets the model use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.dialects import fields
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest

NO_PARAMETERS: Object = {"type": "object", "properties": {}}


def function(name: str, description: str | None, parameters: Object | None) -> dict[str, Any]:
    """One tool as a node takes it."""
    shape: dict[str, Any] = {"name": name, "parameters": parameters or NO_PARAMETERS}
    if description:
        shape["description"] = description
    return {"type": "function", "function": shape}


def name_of(tool: dict[str, Any]) -> str:
    """The name of a tool in the form of function()."""
    name: str = tool["function"]["name"]
    return name


def only(tools: list[dict[str, Any]], names: Sequence[str], where: str) -> list[dict[str, Any]]:
    """The tools of these names; a node cannot be forced to call one, but it can be left no other choice."""
    known = {name_of(tool) for tool in tools}
    for name in names:
        if name not in known:
            raise BadRequest(f'{where} names "{name[:60]}", which is not among the tools', param=where)
    return [tool for tool in tools if name_of(tool) in names]


def chosen(tools: list[dict[str, Any]], choice: object) -> list[dict[str, Any]]:
    """What OpenAI's `tool_choice` leaves of the tools, in the form of chat completions or of responses."""
    if choice is None or choice in ("auto", "required"):
        return tools
    if choice == "none":
        return []
    if not isinstance(choice, dict):
        raise BadRequest(
            'tool_choice takes "none", "auto", "required" or an object that names a function',
            param="tool_choice",
        )
    kind = choice.get("type")
    if kind == "function":
        return only(tools, [_named(choice, "tool_choice.")], "tool_choice")
    if kind == "allowed_tools":
        allowed = fields.mapping(choice, "allowed_tools", "tool_choice.") or choice
        listed = fields.mappings(allowed, "tools", "tool_choice.") or []
        # Hosted tools have no name; they are not among ours either.
        names = [_named(tool, "tool_choice.tools.") for tool in listed if tool.get("type") == "function"]
        return only(tools, names, "tool_choice.tools")
    raise BadRequest('tool_choice.type takes "function" or "allowed_tools"', param="tool_choice.type")


def _named(of: Object, where: str) -> str:
    holder = fields.mapping(of, "function", where) or of
    return fields.required(fields.string(holder, "name", where), f"{where}name")

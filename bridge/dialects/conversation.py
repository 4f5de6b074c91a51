"""A conversation in a node's words, built message by message from any dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.dialects import media
from bridge.dialects.inner import BadRequest


def size(text: str) -> int:
    """UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode())


@dataclass(slots=True)
class Conversation:
    """Messages for /api/chat, and what they amount to."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    prompt_bytes: int = 0
    images: int = 0
    needs: set[str] = field(default_factory=lambda: {"completion"})
    _names: dict[str, str] = field(default_factory=dict)  # tool call id -> tool name

    def add(
        self, role: str, content: str, *, images: list[str] | None = None, thinking: str = ""
    ) -> dict[str, Any]:
        """Appends one message and returns it."""
        message: dict[str, Any] = {"role": role, "content": content}
        if images:
            message["images"] = images
            self.images += len(images)
            self.needs.update(map(media.capability, images))
        if thinking:
            message["thinking"] = thinking
        self.prompt_bytes += size(content) + size(thinking)
        self.messages.append(message)
        return message

    def add_call(
        self, message: dict[str, Any], *, call_id: str, name: str, arguments: dict[str, Any]
    ) -> None:
        """Notes that the assistant's message called a tool."""
        calls = message.setdefault("tool_calls", [])
        calls.append({"id": call_id, "function": {"index": len(calls), "name": name, "arguments": arguments}})
        self._names[call_id] = name
        self.prompt_bytes += size(name) + json_size(arguments)

    def add_result(
        self, content: str, *, call_id: str, name: str = "", images: list[str] | None = None
    ) -> None:
        """Appends a tool's result; its name is found by the call's id when it is not given."""
        message = self.add("tool", content, images=images)
        if name := name or self._names.get(call_id, ""):
            message["tool_name"] = name
        if call_id:
            message["tool_call_id"] = call_id

    def add_tools(self, tools: list[dict[str, Any]]) -> None:
        """Counts declared tools."""
        if tools:
            self.needs.add("tools")
            self.prompt_bytes += json_size(tools)


def arguments(text: str, where: str) -> dict[str, Any]:
    """A tool call's arguments, which OpenAI's dialects write as JSON in a string; empty is no arguments."""
    try:
        value = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{where} must be a JSON object in a string: {error.msg}", param=where) from None
    if not isinstance(value, dict):
        raise BadRequest(f"{where} must be a JSON object in a string", param=where)
    return value


def json_size(value: object) -> int:
    """Bytes of the value as JSON."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        raise BadRequest("the request is nested too deeply; at most 250 levels") from None

"""The `input` of /v1/responses in a node's words."""

from __future__ import annotations

from typing import Any

from bridge.dialects import fields, openai_parts
from bridge.dialects.conversation import Conversation, arguments, size
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_KNOWN = "message, function_call, function_call_output and reasoning"


def read(body: Object) -> Conversation:
    """Instructions, then the items in their order. Raises BadRequest."""
    reader = _Reader()
    if instructions := fields.string(body, "instructions"):
        reader.conversation.add("system", instructions)
    given = body.get("input")
    if isinstance(given, str):
        reader.conversation.add("user", given)
    elif isinstance(given, list):
        for at, item in enumerate(given):
            if not isinstance(item, dict):
                raise fields.refuse(f"input[{at}]", "an object", item)
            reader.item(item, f"input[{at}]")
        reader.end()
    if given is None or given in ("", []):
        raise BadRequest("input is required: a string or an array of items", param="input")
    if not isinstance(given, str | list):
        raise fields.refuse("input", "a string or an array of items", given)
    return reader.conversation


def flat_name(namespace: str, name: str) -> str:
    """One name for a tool inside a namespace, since a node's tools have no such thing."""
    return f"{namespace}.{name}"


class _Reader:
    """Items are smaller than messages: reasoning and calls belong to the assistant's message beside them."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self._thinking = ""  # of a reasoning item, until the message or call that it led to

    def item(self, item: Object, where: str) -> None:
        kind = fields.string(item, "type", f"{where}.") or ("message" if "role" in item else None)
        if kind == "message":
            self._message(item, where)
        elif kind == "function_call":
            self._call(item, where)
        elif kind == "function_call_output":
            text, images = _content(item.get("output"), f"{where}.output")
            self.conversation.add_result(text, call_id=_call_id(item, where), images=images)
        elif kind == "reasoning":
            self._thinking = _reasoning(item, where)
        elif kind == "web_search_call":
            pass  # tells only that a search took place; what it found is in the message after it
        elif kind == "item_reference":
            raise BadRequest(
                f"{where} refers to a stored item, and the bridge stores none; send the item itself",
                param=where,
            )
        else:
            raise BadRequest(f"{where}.type is not supported; it takes {_KNOWN}", param=f"{where}.type")

    def end(self) -> None:
        if self._thinking:
            self.conversation.add("assistant", "", thinking=self._take_thinking())

    def _message(self, item: Object, where: str) -> None:
        role = fields.required(fields.string(item, "role", f"{where}."), f"{where}.role").lower()
        if role not in _ROLES:
            raise BadRequest(
                f"{where}.role takes system, developer, user or assistant", param=f"{where}.role"
            )
        text, images = openai_parts.read(item.get("content"), f"{where}.content")
        last = self._last_assistant()
        if role == "assistant" and last is not None and "tool_calls" in last:
            # Said between a call and its result: both must stay in one message, or templates lose the call.
            last["content"] = "\n".join(filter(None, (last["content"], text)))
            self.conversation.prompt_bytes += size(text)
        else:
            thinking = self._take_thinking() if role == "assistant" else ""
            self.conversation.add(_ROLES[role], text, images=images, thinking=thinking)

    def _call(self, item: Object, where: str) -> None:
        name = fields.required(fields.string(item, "name", f"{where}."), f"{where}.name")
        if namespace := fields.string(item, "namespace", f"{where}."):
            name = flat_name(namespace, name)
        text = fields.string(item, "arguments", f"{where}.") or ""
        message = self._last_assistant()
        if message is None or (self._thinking and "thinking" in message):
            message = self.conversation.add("assistant", "", thinking=self._take_thinking())
        elif self._thinking:
            message["thinking"] = self._take_thinking()
            self.conversation.prompt_bytes += size(message["thinking"])
        self.conversation.add_call(
            message,
            call_id=_call_id(item, where),
            name=name,
            arguments=arguments(text, f"{where}.arguments"),
        )

    def _last_assistant(self) -> dict[str, Any] | None:
        messages = self.conversation.messages
        return messages[-1] if messages and messages[-1]["role"] == "assistant" else None

    def _take_thinking(self) -> str:
        thinking, self._thinking = self._thinking, ""
        return thinking


def _call_id(item: Object, where: str) -> str:
    return fields.required(fields.string(item, "call_id", f"{where}."), f"{where}.call_id")


def _content(given: object, where: str) -> tuple[str, list[str]]:
    return ("", []) if given is None else openai_parts.read(given, where)


def _reasoning(item: Object, where: str) -> str:
    """The reasoning's text; its encrypted content is a seal of whoever wrote it, and no text."""
    for key in ("content", "summary"):
        if parts := fields.array(item, key, f"{where}."):
            return openai_parts.read(parts, f"{where}.{key}")[0]
    return ""

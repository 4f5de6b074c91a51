"""The messages of /v1/chat/completions in a node's words."""

from __future__ import annotations

from bridge.dialects import fields, openai_parts
from bridge.dialects.conversation import Conversation, arguments
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest

# What templates of open models know; "developer" is OpenAI's newer word for "system".
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Reasoning comes back under the name that the client knows: Ollama's and vLLM's, or DeepSeek's.
_REASONING = ("reasoning", "reasoning_content", "thinking")


def read(body: Object) -> Conversation:
    """Raises BadRequest where there is no message or one cannot be read."""
    messages = fields.mappings(body, "messages")
    if not messages:
        raise BadRequest("[] is too short - 'messages': at least one message is required", param="messages")
    conversation = Conversation()
    for at, message in enumerate(messages):
        _add(conversation, message, f"messages[{at}].")
    return conversation


def _add(conversation: Conversation, message: Object, where: str) -> None:
    role = fields.required(fields.string(message, "role", where), f"{where}role").lower()
    if role in ("tool", "function"):
        _add_result(conversation, message, where)
    elif role == "assistant":
        _add_assistant(conversation, message, where)
    elif role in _ROLES:
        text, images = openai_parts.read(message.get("content"), f"{where}content")
        conversation.add(_ROLES[role], text, images=images)
    else:
        raise BadRequest(
            f"{where}role takes system, developer, user, assistant or tool", param=f"{where}role"
        )


def _add_assistant(conversation: Conversation, message: Object, where: str) -> None:
    content = message.get("content")
    text, images = ("", []) if content is None else openai_parts.read(content, f"{where}content")
    thoughts = (fields.string(message, key, where) for key in _REASONING)
    added = conversation.add("assistant", text, images=images, thinking=next(filter(None, thoughts), ""))
    for at, call in enumerate(fields.mappings(message, "tool_calls", where) or ()):
        inside = f"{where}tool_calls[{at}].function."
        function = fields.mapping(call, "function", f"{where}tool_calls[{at}].") or {}
        given = function.get("arguments")
        conversation.add_call(
            added,
            call_id=fields.string(call, "id", f"{where}tool_calls[{at}].") or "",
            name=fields.required(fields.string(function, "name", inside), f"{inside}name"),
            # The API has a string here; some clients send the object that the string should hold.
            arguments=given
            if isinstance(given, dict)
            else arguments(fields.string(function, "arguments", inside) or "", f"{inside}arguments"),
        )


def _add_result(conversation: Conversation, message: Object, where: str) -> None:
    content = message.get("content")
    text, images = ("", []) if content is None else openai_parts.read(content, f"{where}content")
    conversation.add_result(
        text,
        call_id=fields.string(message, "tool_call_id", where) or "",
        name=fields.string(message, "name", where) or "",
        images=images,
    )

"""The system prompt and messages of /v1/messages in a node's words."""

from __future__ import annotations

from bridge.dialects import fields, media
from bridge.dialects.conversation import Conversation
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest

# Blocks that say nothing to a model: sealed thinking, and traces of tools that Anthropic ran on its side.
_SILENT = frozenset({"redacted_thinking", "server_tool_use", "container_upload"})
_KNOWN = "text, image, document (text), tool_use, tool_result or thinking"


def read(body: Object) -> Conversation:
    """Raises BadRequest where there is no message or one cannot be read."""
    messages = fields.mappings(body, "messages")
    if not messages:
        raise BadRequest("messages is required: at least one message", param="messages")
    conversation = Conversation()
    if system := _Blocks("system").read(body.get("system")).text():
        conversation.add("system", system)
    for at, message in enumerate(messages):
        _add(conversation, message, f"messages[{at}]")
    return conversation


def _add(conversation: Conversation, message: Object, where: str) -> None:
    role = fields.required(fields.string(message, "role", f"{where}."), f"{where}.role")
    if role not in ("user", "assistant", "system"):
        raise BadRequest(f"{where}.role takes user or assistant", param=f"{where}.role")
    if message.get("content") is None:
        raise BadRequest(f"{where}.content is required", param=f"{where}.content")
    blocks = _Blocks(f"{where}.content").read(message["content"])
    for result in blocks.results:  # a template looks for results right behind the calls, before new text
        _add_result(conversation, *result)
    if blocks.texts or blocks.images or blocks.calls or blocks.thinking or not blocks.results:
        added = conversation.add(
            role, blocks.text(), images=blocks.images, thinking="\n".join(blocks.thinking)
        )
        for call_id, name, arguments in blocks.calls:
            conversation.add_call(added, call_id=call_id, name=name, arguments=arguments)


def _add_result(conversation: Conversation, block: Object, where: str) -> None:
    call_id = fields.string(block, "tool_use_id", f"{where}.")
    inner = _Blocks(f"{where}.content").read(block.get("content"))
    # A node has no field for a failed tool, so the text says it.
    failed = "Error: " if fields.boolean(block, "is_error", f"{where}.") else ""
    conversation.add_result(
        failed + inner.text(),
        call_id=fields.required(call_id, f"{where}.tool_use_id"),
        images=inner.images,
    )


class _Blocks:
    """Content blocks sorted by what becomes of them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.texts: list[str] = []
        self.images: list[str] = []
        self.thinking: list[str] = []
        self.calls: list[tuple[str, str, Object]] = []  # id, name, arguments
        self.results: list[tuple[Object, str]] = []  # tool_result blocks, and where they stand

    def read(self, content: object) -> _Blocks:
        if isinstance(content, str):
            self.texts.append(content)
            return self
        if content is not None and not isinstance(content, list):
            raise fields.refuse(self.where, "a string or an array of blocks", content)
        for at, block in enumerate(content or ()):
            where = f"{self.where}[{at}]"
            if not isinstance(block, dict):
                raise fields.refuse(where, "an object", block)
            self._block(block, where)
        return self

    def text(self) -> str:
        return "\n".join(self.texts)

    def _block(self, block: Object, where: str) -> None:
        kind = fields.string(block, "type", f"{where}.") or ""
        if kind == "text":
            self.texts.append(_text(block, "text", where))
        elif kind == "thinking":
            self.thinking.append(_text(block, "thinking", where))
        elif kind == "image":
            self.images.append(_image(block, where))
        elif kind == "tool_use":
            self.calls.append(_call(block, where))
        elif kind == "tool_result":
            self.results.append((block, where))
        elif kind == "document":
            self.texts.append(_document(block, where))
        elif kind not in _SILENT and not kind.endswith("_tool_result"):
            raise BadRequest(f"{where}.type takes {_KNOWN}", param=f"{where}.type")


def _text(block: Object, key: str, where: str) -> str:
    text = fields.string(block, key, f"{where}.")
    if text is None:
        raise BadRequest(f"{where}.{key} is required", param=f"{where}.{key}")
    return text


def _call(block: Object, where: str) -> tuple[str, str, Object]:
    return (
        fields.required(fields.string(block, "id", f"{where}."), f"{where}.id"),
        fields.required(fields.string(block, "name", f"{where}."), f"{where}.name"),
        fields.mapping(block, "input", f"{where}.") or {},
    )


def _source(block: Object, where: str, kind: str, hint: str) -> str:
    source = fields.mapping(block, "source", f"{where}.") or {}
    if source.get("type") != kind:
        raise BadRequest(f'{where}.source.type must be "{kind}": {hint}', param=f"{where}.source.type")
    return fields.required(fields.string(source, "data", f"{where}.source."), f"{where}.source.data")


def _image(block: Object, where: str) -> str:
    hint = "the bridge fetches no URLs and stores no files; send the image itself"
    return media.base64(_source(block, where, "base64", hint), f"{where}.source.data")


def _document(block: Object, where: str) -> str:
    title = fields.string(block, "title", f"{where}.")
    text = _source(block, where, "text", "other documents are not supported; send their text")
    return f"{title}\n{text}" if title else text

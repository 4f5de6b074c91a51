"""Answers of /v1/messages, whole and streamed."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects import anthropic_shapes, node_lines, openai_shapes, sse
from bridge.dialects.answer import Answer
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Inner

PING = sse.named(b"ping", b'{"type":"ping"}')

_TEXT_HEAD = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)

_BYTES_PER_TOKEN = 4  # an estimate for the first event; the last one has the node's count


class Message(Answer):
    """A stream is a list of blocks, one open at a time: thinking, text, tool use."""

    __slots__ = ("_called", "_estimate", "_head", "_index", "_open", "_request_id", "_text_head")

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner)
        self._request_id = request_id
        self._head = {
            "id": f"msg_{request_id}",
            "type": "message",
            "role": "assistant",
            "model": inner.model,
        }
        self._estimate = max(1, inner.prompt_bytes // _BYTES_PER_TOKEN)
        self._index = 0  # of the open block, or of the next one
        self._open = ""  # kind of the open block
        self._text_head = b""  # of a delta of the open block, where it is text
        self._called = 0  # tool calls sent

    def start(self) -> bytes:
        usage = {"input_tokens": self._estimate, "output_tokens": 0}
        message: dict[str, Any] = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event("message_start", message=message)

    def heartbeat(self) -> bytes:
        return PING

    def event(self, line: bytes) -> bytes:
        reply = node_lines.parse(line)
        if self._open == "text" and (plain := node_lines.plain(reply)):
            return self._text_head + orjson.dumps(plain) + b"}}\n\n"
        message = node_lines.message(reply)
        out = b""
        if thought := node_lines.text(message, "thinking"):
            out += self._block("thinking", {"thinking": "", "signature": ""})
            out += self._delta("thinking_delta", "thinking", thought)
        if text := node_lines.text(message, "content"):
            out += self._block("text", {"text": ""}) + self._delta("text_delta", "text", text)
        for block in self._tools(message):
            out += self._close()
            out += self._block("tool_use", block | {"input": {}})
            out += self._delta("input_json_delta", "partial_json", block["input"])
        return out + self._last(reply) if reply.get("done") is True else out

    def failure(self, failure: Failure) -> bytes:
        return sse.named(b"error", orjson.dumps(anthropic_shapes.error(failure, self._request_id)))

    def whole(self, body: bytes) -> bytes:
        self._called = 0  # a reply of another node may have been given up
        reply = node_lines.parse(body)
        message = node_lines.message(reply)
        content: list[dict[str, Any]] = []
        if thought := node_lines.text(message, "thinking"):
            seal = anthropic_shapes.signature(self._request_id)
            content.append({"type": "thinking", "thinking": thought, "signature": seal})
        if text := node_lines.text(message, "content"):
            content.append({"type": "text", "text": text})
        content += [
            {"type": "tool_use", **block, "input": orjson.Fragment(block["input"])}
            for block in self._tools(message)
        ]
        counts = self._end_whole(reply)
        end = {
            "content": content,
            "stop_reason": anthropic_shapes.stop_reason(counts.done_reason, called=self._called > 0),
            "stop_sequence": None,
            "usage": anthropic_shapes.usage(counts),
        }
        return orjson.dumps(self._head | end)

    def _last(self, reply: dict[str, Any]) -> bytes:
        counts = self._end(reply)
        reason = anthropic_shapes.stop_reason(counts.done_reason, called=self._called > 0)
        delta = {"stop_reason": reason, "stop_sequence": None}
        usage = anthropic_shapes.usage(counts)
        end = _event("message_delta", delta=delta, usage=usage) + _event("message_stop")
        return self._close() + end

    def _block(self, kind: str, empty: dict[str, Any]) -> bytes:
        """The events that make this kind of block the open one."""
        if self._open == kind:
            return b""
        out = self._close()
        self._open = kind
        self._text_head = _TEXT_HEAD % self._index
        return out + _event("content_block_start", index=self._index, content_block={"type": kind, **empty})

    def _delta(self, kind: str, key: str, text: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, key: text})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        out = b""
        if self._open == "thinking":
            out = self._delta("signature_delta", "signature", anthropic_shapes.signature(self._request_id))
        out += _event("content_block_stop", index=self._index)
        self._open = ""
        self._index += 1
        return out

    def _tools(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Blocks of tool use, their input as JSON in a string."""
        blocks = []
        for call_id, name, arguments in openai_shapes.calls(message):
            made_up = f"toolu_{self._request_id}_{self._called}"
            blocks.append({"id": call_id or made_up, "name": name, "input": _object(arguments)})
            self._called += 1
        return blocks


def _object(text: str) -> str:
    """The text where it is a JSON object, as it always should be; else an empty one."""
    try:
        return text if isinstance(orjson.loads(text), dict) else "{}"
    except orjson.JSONDecodeError:
        return "{}"


def _event(kind: str, **of: Any) -> bytes:
    return sse.named(kind.encode(), orjson.dumps({"type": kind, **of}))

"""Answers of /v1/chat/completions, whole and streamed."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects import node_lines, openai_shapes, sse
from bridge.dialects.answer import Answer
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Inner


class ChatCompletion(Answer):
    """One chunk for each line of text, with everything but the text prepared once."""

    __slots__ = (
        "_begun",
        "_calls",
        "_head",
        "_include_usage",
        "_request_id",
        "_same",
        "_tail",
        "_text_head",
        "_text_tail",
    )

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner)
        self._request_id = request_id
        self._include_usage = inner.include_usage
        self._same = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk" if inner.stream else "chat.completion",
            "created": created,
            "model": inner.model,
            "system_fingerprint": openai_shapes.FINGERPRINT,
        }
        self._head = b"data: " + orjson.dumps(self._same)[:-1] + b',"choices":[{"index":0,"delta":'
        self._text_head = self._head + b'{"content":'
        self._tail = b',"finish_reason":null}]}\n\n'
        self._text_tail = b"}" + self._tail
        self._begun = False  # the first delta says the role
        self._calls = 0  # tool calls sent

    def event(self, line: bytes) -> bytes:
        reply = node_lines.parse(line)
        if self._begun and (text := node_lines.plain(reply)):
            return self._text_head + orjson.dumps(text) + self._text_tail
        return self._unusual(reply)

    def failure(self, failure: Failure) -> bytes:
        return openai_shapes.failed_stream(failure, self._request_id)

    def whole(self, body: bytes) -> bytes:
        reply = node_lines.parse(body)
        message = node_lines.message(reply)
        content = node_lines.text(message, "content")
        calls = openai_shapes.tool_calls(message, self._request_id)
        counts = self._end_whole(reply)
        answer: dict[str, Any] = {"role": "assistant", "content": content if content or not calls else None}
        answer |= reasoning(node_lines.text(message, "thinking"))
        if calls:
            answer["tool_calls"] = [{key: call[key] for key in ("id", "type", "function")} for call in calls]
        choice = {
            "index": 0,
            "message": answer,
            "finish_reason": openai_shapes.finish_reason(counts.done_reason, called=bool(calls)),
            "logprobs": logprobs(reply),
        }
        return orjson.dumps(self._same | {"choices": [choice], "usage": openai_shapes.usage(counts)})

    def _unusual(self, reply: dict[str, Any]) -> bytes:
        """The first line, the last, and those with reasoning, tool calls or logprobs."""
        message = node_lines.message(reply)
        found = logprobs(reply)
        out = []
        if thought := node_lines.text(message, "thinking"):
            out.append(self._chunk(reasoning(thought), found))
            found = None  # one line's logprobs go out once
        content = node_lines.text(message, "content")
        if content or found:
            out.append(self._chunk({"content": content}, found))
        if calls := openai_shapes.tool_calls(message, self._request_id, self._calls):
            self._calls += len(calls)
            out.append(self._chunk({"tool_calls": calls}, None))
        if reply.get("done") is True:
            out.append(self._last(reply))
        return b"".join(out)

    def _chunk(self, delta: dict[str, Any], found: dict[str, Any] | None) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant"} | delta
        if found:
            return self._head + orjson.dumps(delta) + b',"logprobs":' + orjson.dumps(found) + self._tail
        return self._head + orjson.dumps(delta) + self._tail

    def _last(self, reply: dict[str, Any]) -> bytes:
        counts = self._end(reply)
        first = b"" if self._begun else self._chunk({"content": ""}, None)
        reason = openai_shapes.finish_reason(counts.done_reason, called=self._calls > 0)
        out = first + self._head + b'{},"finish_reason":"' + reason.encode() + b'"}]}\n\n'
        if self._include_usage:
            out += sse.data(orjson.dumps(self._same | {"choices": [], "usage": openai_shapes.usage(counts)}))
        return out + sse.DONE


def reasoning(thought: str) -> dict[str, str]:
    """The model's thinking under both names that clients know.

    Ollama, OpenRouter and newer vLLM write `reasoning`; DeepSeek, llama.cpp and older vLLM write
    `reasoning_content`, and clients made for those read nothing else. Those that know both take either.
    """
    return {"reasoning": thought, "reasoning_content": thought} if thought else {}


def logprobs(reply: dict[str, Any]) -> dict[str, Any] | None:
    """A choice's logprobs, None where the node sent none."""
    found = openai_shapes.logprobs(reply)
    return {"content": found, "refusal": None} if found else None

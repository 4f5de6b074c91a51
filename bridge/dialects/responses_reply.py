"""Answers of /v1/responses, whole and streamed."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects import node_lines, openai_shapes, responses_shapes
from bridge.dialects.answer import Answer
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Inner
from bridge.dialects.responses_shapes import Item

_SUMMARY = "response.reasoning_summary"


class Response(Answer):
    """A stream is a list of items that grow one after the other: reasoning, message, function calls."""

    __slots__ = ("_head", "_items", "_namespaces", "_open", "_request_id", "_sequence", "_settings")

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner)
        self._request_id = request_id
        self._settings: bytes = inner.echo["settings"]
        self._namespaces: dict[str, tuple[str, str]] = inner.echo["namespaces"]
        self._head = {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": created,
            "model": inner.model,
        }
        self._sequence = 0
        self._items: list[Item] = []  # done
        self._open: _Growing | None = None

    def start(self) -> bytes:
        response = self._response("in_progress", None)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def event(self, line: bytes) -> bytes:
        reply = node_lines.parse(line)
        grown = self._open
        if grown is not None and grown.kind == "message" and (plain := node_lines.plain(reply)):
            return self._plain(grown, plain)
        message = node_lines.message(reply)
        out = b""
        if thought := node_lines.text(message, "thinking"):
            out += self._grow("reasoning", thought, [])
        text = node_lines.text(message, "content")
        logprobs = openai_shapes.logprobs(reply)
        if text or logprobs:
            out += self._grow("message", text, logprobs)
        for call_id, name, arguments in openai_shapes.calls(message):
            out += self._close("completed") + self._call(call_id, name, arguments)
        return out + self._last(reply) if reply.get("done") is True else out

    def failure(self, failure: Failure) -> bytes:
        """`response.failed` is the protocol's own end; official clients raise on the `error` after it."""
        begun = b"" if self._sequence else self.start()  # clients expect the response to be created first
        code = "rate_limit_exceeded" if failure.status == 429 else "server_error"
        error = {"code": code, "message": failure.message}
        failed = self._event("response.failed", response=self._response("failed", None, error=error))
        return (
            begun
            + failed
            + self._event(
                "error",
                code=failure.code or failure.kind,
                message=failure.message,
                param=failure.param,
                error=openai_shapes.error(failure, self._request_id),
            )
        )

    def whole(self, body: bytes) -> bytes:
        reply = node_lines.parse(body)
        message = node_lines.message(reply)
        calls = list(openai_shapes.calls(message))
        counts = self._end_whole(reply)
        status = _status(counts.done_reason)
        if thought := node_lines.text(message, "thinking"):
            self._items.append(_Growing("reasoning", self._item_id("rs"), 0, thought, []).item("completed"))
        text = node_lines.text(message, "content")
        if text or not calls:
            logprobs = openai_shapes.logprobs(reply)
            grown = _Growing("message", self._item_id("msg"), len(self._items), text, logprobs)
            self._items.append(grown.item(status))
        for call_id, name, arguments in calls:
            self._items.append(self._function_call("completed", call_id, name, arguments))
        return orjson.dumps(self._response(status, responses_shapes.usage(counts)))

    def _last(self, reply: dict[str, Any]) -> bytes:
        counts = self._end(reply)
        status = _status(counts.done_reason)
        out = b""
        if not self._items and self._open is None:
            out = self._grow("message", "", [])  # clients expect a message even where the model said nothing
        out += self._close(status)
        response = self._response(status, responses_shapes.usage(counts))
        return out + self._event(f"response.{status}", response=response)

    def _plain(self, grown: _Growing, text: str) -> bytes:
        """A delta of text alone, as _grow would write it."""
        grown.texts.append(text)
        number = self._sequence
        self._sequence += 1
        return grown.text_head + b'"sequence_number":%d,"delta":%b}\n\n' % (number, orjson.dumps(text))

    def _grow(self, kind: str, text: str, logprobs: list[dict[str, Any]]) -> bytes:
        """A delta of the open item, after the events that open it where it is not open yet."""
        out = b""
        grown = self._open
        if grown is None or grown.kind != kind:
            out = self._close("completed")
            prefix = "rs" if kind == "reasoning" else "msg"
            grown = self._open = _Growing(kind, self._item_id(prefix), len(self._items), "", [])
            item = grown.item("in_progress", content=[])
            out += self._event("response.output_item.added", output_index=grown.index, item=item)
            out += self._event(f"{grown.part_event}.added", **grown.place, part=grown.part())
        grown.texts.append(text)
        grown.logprobs += logprobs
        if kind == "reasoning":
            return out + self._event(f"{_SUMMARY}_text.delta", **grown.place, delta=text)
        return out + self._event("response.output_text.delta", **grown.place, delta=text, logprobs=logprobs)

    def _close(self, status: str) -> bytes:
        """The events that end the open item, if one is open."""
        grown, self._open = self._open, None
        if grown is None:
            return b""
        item = grown.item(status)
        self._items.append(item)
        part = grown.part()
        if grown.kind == "reasoning":
            out = self._event(f"{_SUMMARY}_text.done", **grown.place, text=part["text"])
        else:
            out = self._event(
                "response.output_text.done", **grown.place, text=part["text"], logprobs=grown.logprobs
            )
        out += self._event(f"{grown.part_event}.done", **grown.place, part=part)
        return out + self._event("response.output_item.done", output_index=grown.index, item=item)

    def _call(self, call_id: str, name: str, arguments: str) -> bytes:
        """A whole function call: a node sends them in one piece."""
        index = len(self._items)
        item = self._function_call("completed", call_id, name, arguments)
        begun = item | {"status": "in_progress", "arguments": ""}
        self._items.append(item)
        place = {"item_id": item["id"], "output_index": index}
        kind = "response.function_call_arguments"
        return b"".join(
            (
                self._event("response.output_item.added", output_index=index, item=begun),
                self._event(f"{kind}.delta", **place, delta=arguments),
                self._event(f"{kind}.done", **place, name=item["name"], arguments=arguments),
                self._event("response.output_item.done", output_index=index, item=item),
            )
        )

    def _function_call(self, status: str, call_id: str, name: str, arguments: str) -> Item:
        namespace, name = self._namespaces.get(name, ("", name))
        item_id = self._item_id("fc")
        return responses_shapes.function_call(
            item_id,
            status,
            call_id=call_id or f"call_{item_id}",
            name=name,
            namespace=namespace,
            arguments=arguments,
        )

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._request_id}_{len(self._items)}"

    def _response(
        self, status: str, usage: dict[str, Any] | None, error: dict[str, Any] | None = None
    ) -> orjson.Fragment:
        details = {"reason": "max_output_tokens"} if status == "incomplete" else None
        own = self._head | {
            "status": status,
            "error": error,
            "incomplete_details": details,
            "output": self._items,
            "usage": usage,
        }
        return orjson.Fragment(orjson.dumps(own)[:-1] + b"," + self._settings[1:])

    def _event(self, kind: str, **of: Any) -> bytes:
        payload = orjson.dumps({"type": kind, "sequence_number": self._sequence, **of})
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload)


class _Growing:
    """An item whose text still grows."""

    __slots__ = ("id", "index", "kind", "logprobs", "part_event", "place", "text_head", "texts")

    def __init__(
        self, kind: str, item_id: str, index: int, text: str, logprobs: list[dict[str, Any]]
    ) -> None:
        self.kind = kind
        self.id = item_id
        self.index = index
        self.texts = [text] if text else []  # as long as the model's answer, which the node bounds
        self.logprobs = logprobs
        within = "summary_index" if kind == "reasoning" else "content_index"
        self.place = {"item_id": item_id, "output_index": index, within: 0}
        self.part_event = f"{_SUMMARY}_part" if kind == "reasoning" else "response.content_part"
        head = orjson.dumps({"type": "response.output_text.delta", **self.place, "logprobs": []})
        self.text_head = b"event: response.output_text.delta\ndata: " + head[:-1] + b","

    def part(self) -> dict[str, Any]:
        text = "".join(self.texts)
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": text}
        return responses_shapes.text_part(text, self.logprobs)

    def item(self, status: str, content: list[dict[str, Any]] | None = None) -> Item:
        if self.kind == "reasoning":
            return responses_shapes.reasoning(self.id, status, "".join(self.texts))
        return responses_shapes.message(self.id, status, [self.part()] if content is None else content)


def _status(done_reason: str) -> str:
    return "incomplete" if done_reason == "length" else "completed"

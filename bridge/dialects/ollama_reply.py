"""Ollama's native answers: the node's own bytes, and what the bridge says in their form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.dialects import node_lines
from bridge.dialects.answer import JSON, Answer
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Headers, Inner, NodeFault

NDJSON = b"application/x-ndjson"


class Native(Answer):
    """Passes the node's lines on untouched."""

    __slots__ = ("_created", "_inner", "_request_id")

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner, NDJSON)
        self._inner = inner
        self._request_id = request_id
        self._created = created

    def event(self, line: bytes) -> bytes:
        # Both marks may stand inside a tool's arguments, so only the plain case goes unparsed.
        if b'"done":false' not in line or b'"done":true' in line:
            reply = node_lines.parse(line)
            if reply.get("done") is True:
                self._end(reply)
        return line + b"\n"

    def heartbeat(self) -> bytes:
        # Native clients refuse blank lines and know no comments: an empty chunk is all they take for no news.
        return orjson.dumps(_nothing(self._inner, self._created) | {"done": False}) + b"\n"

    def failure(self, failure: Failure) -> bytes:
        return _error(failure, self._request_id) + b"\n"

    def whole(self, body: bytes) -> bytes:
        reply = node_lines.parse(body)
        route = self._inner.route
        if route in ("chat", "generate"):
            if "_debug_info" in reply:  # the rendered prompt instead of an answer; it has no end mark
                self._end(reply)
            else:
                self._end_whole(reply)
        elif isinstance(reply.get("embeddings" if route == "embed" else "embedding"), list):
            self._end(reply)
        else:
            raise NodeFault("the node's reply has no embeddings", kind="node_garbage")
        return body


def emptied(inner: Inner, created: int) -> bytes:
    """A node's whole reply to a request that only loads or unloads a model; every encoder takes it.

    `created` is in Unix seconds.
    """
    if inner.route == "embed":
        return orjson.dumps({"model": inner.model, "embeddings": []})
    if inner.route == "embeddings":
        return orjson.dumps({"embedding": []})
    return orjson.dumps(_nothing(inner, created) | {"done": True, "done_reason": inner.purpose})


def failure(failed: Failure, request_id: str) -> tuple[int, Headers, bytes]:
    """An error before the first byte: status, headers, body."""
    return failed.status, failed.headers(JSON), _error(failed, request_id)


def _nothing(inner: Inner, created: int) -> dict[str, Any]:
    reply = {"model": inner.model, "created_at": timestamp(created)}
    if inner.route == "chat":
        return reply | {"message": {"role": "assistant", "content": ""}}
    return reply | {"response": ""}


def timestamp(seconds: int) -> str:
    """Unix seconds as RFC 3339, as a node writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _error(failed: Failure, request_id: str) -> bytes:
    # Clients read `error` and nothing else; the rest is for people.
    return orjson.dumps(
        {
            "error": failed.message,
            "code": failed.code or failed.kind,
            "source": failed.source,
            "request_id": request_id,
        }
    )

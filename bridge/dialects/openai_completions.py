"""POST /v1/completions, the older route for plain text."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects import fields, node_lines, openai_shapes, sampling, sse
from bridge.dialects.answer import Answer
from bridge.dialects.conversation import size
from bridge.dialects.failure import Failure
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Dialect, Inner
from bridge.dialects.openai_chat import include_usage, refuse_many
from bridge.dialects.openai_shapes import failure

__all__ = ["COMPLETIONS", "read"]


def read(payload: bytes) -> Inner:
    """The request as one for /api/generate. An empty prompt loads the model, as it does on a node."""
    body = fields.parse(payload)
    refuse_many(body, "n", "best_of")
    prompt = _prompt(body.get("prompt"))
    suffix = fields.string(body, "suffix") or ""
    native: Object = {"prompt": prompt}
    needs = {"completion"}
    if suffix:
        native["suffix"] = suffix
        needs.add("insert")
    top = fields.integer(body, "logprobs") or 0
    if not 0 <= top <= 20:
        raise BadRequest("logprobs must be between 0 and 20", param="logprobs")
    if top:
        native |= {"logprobs": True, "top_logprobs": top}
    return sampling.inner(
        body,
        native,
        route="generate",
        limits=("max_tokens",),
        purpose="generate" if prompt else "load",
        needs=frozenset(needs),
        prompt_bytes=size(prompt) + size(suffix),
        include_usage=include_usage(body),
        echo={"prompt": prompt} if fields.boolean(body, "echo") else {},
    )


def _prompt(given: object) -> str:
    if given is None:
        return ""
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, str):
        return given
    if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
        raise BadRequest("prompt has several texts: send one request for each", param="prompt")
    raise BadRequest(
        "prompt must be a string, or an array of one; token arrays are not supported", param="prompt"
    )


class Completion(Answer):
    """Text chunks; with `echo`, the prompt is the first of them."""

    __slots__ = ("_echo", "_head", "_include_usage", "_length", "_request_id", "_same")

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner)
        self._request_id = request_id
        self._include_usage = inner.include_usage
        self._echo: str = inner.echo.get("prompt", "")
        self._length = 0  # characters of text sent, which logprobs count from
        self._same = {
            "id": f"cmpl-{request_id}",
            "object": "text_completion",
            "created": created,
            "model": inner.model,
            "system_fingerprint": openai_shapes.FINGERPRINT,
        }
        self._head = b"data: " + orjson.dumps(self._same)[:-1] + b',"choices":[{"index":0,"text":'

    def start(self) -> bytes:
        return self._chunk(self._echo, None) if self._echo else b""

    def event(self, line: bytes) -> bytes:
        reply = node_lines.parse(line)
        text = node_lines.text(reply, "response")
        found = self._logprobs(reply)
        out = self._chunk(text, found) if text or found else b""
        return out + self._last(reply) if reply.get("done") is True else out

    def failure(self, failure: Failure) -> bytes:
        return openai_shapes.failed_stream(failure, self._request_id)

    def whole(self, body: bytes) -> bytes:
        reply = node_lines.parse(body)
        counts = self._end_whole(reply)
        self._length = len(self._echo)
        choice = {
            "index": 0,
            "text": self._echo + node_lines.text(reply, "response"),
            "logprobs": self._logprobs(reply),
            "finish_reason": openai_shapes.finish_reason(counts.done_reason, called=False),
        }
        return orjson.dumps(self._same | {"choices": [choice], "usage": openai_shapes.usage(counts)})

    def _chunk(self, text: str, found: dict[str, Any] | None) -> bytes:
        if not found:
            self._length += len(text)
        shape = orjson.dumps(text) + b',"logprobs":' + orjson.dumps(found)
        return self._head + shape + b',"finish_reason":null}]}\n\n'

    def _last(self, reply: dict[str, Any]) -> bytes:
        counts = self._end(reply)
        reason = openai_shapes.finish_reason(counts.done_reason, called=False).encode()
        out = self._head + b'"","logprobs":null,"finish_reason":"' + reason + b'"}]}\n\n'
        if self._include_usage:
            out += sse.data(orjson.dumps(self._same | {"choices": [], "usage": openai_shapes.usage(counts)}))
        return out + sse.DONE

    def _logprobs(self, reply: dict[str, Any]) -> dict[str, Any] | None:
        """The four parallel lists of this route."""
        tokens = openai_shapes.logprobs(reply)
        if not tokens:
            return None
        offsets = []
        for token in tokens:
            offsets.append(self._length)
            self._length += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in tokens
            ],
            "text_offset": offsets,
        }


COMPLETIONS = Dialect(name="openai-completions", read=read, encoder=Completion, failure=failure)

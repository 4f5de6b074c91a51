"""Official clients against the dialects, without a network.

A client's request is read, and the lines of a scripted node are encoded as its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai
import orjson

from bridge.dialects import anthropic as anthropic_dialect
from bridge.dialects import (
    ollama as ollama_dialect,
)
from bridge.dialects import (
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from bridge.dialects.failure import Failure
from bridge.dialects.inner import BadRequest, Dialect, Headers, Inner, NodeFault

REQUEST_ID = "req1"
CREATED = 1_700_000_000
STAMP = "2026-08-21T18:48:22.123456789Z"

DIALECTS: dict[str, Dialect] = {
    "/api/chat": ollama_dialect.CHAT,
    "/api/generate": ollama_dialect.GENERATE,
    "/api/embed": ollama_dialect.EMBED,
    "/api/embeddings": ollama_dialect.EMBEDDINGS,
    "/v1/chat/completions": openai_chat.CHAT_COMPLETIONS,
    "/v1/completions": openai_completions.COMPLETIONS,
    "/v1/embeddings": openai_embeddings.EMBEDDINGS,
    "/v1/responses": openai_responses.RESPONSES,
    "/v1/messages": anthropic_dialect.MESSAGES,
}

COUNTED = {
    "total_duration": 900,
    "load_duration": 100,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 200,
    "eval_count": 9,
    "eval_duration": 500,
}


def chat(content: str = "", *, done: str = "", logprobs: object = None, **message: Any) -> dict[str, Any]:
    """One line of /api/chat; `done` is the reason that ends the stream."""
    line: dict[str, Any] = {
        "model": "llama3.2:latest",
        "created_at": STAMP,
        "message": {"role": "assistant", "content": content, **message},
        "done": bool(done),
    }
    if logprobs is not None:
        line["logprobs"] = logprobs
    return line | ({"done_reason": done, **COUNTED} if done else {})


def text(response: str = "", *, done: str = "", **more: Any) -> dict[str, Any]:
    """One line of /api/generate."""
    line = {"model": "llama3.2:latest", "created_at": STAMP, "response": response, "done": bool(done), **more}
    return line | ({"done_reason": done, **COUNTED} if done else {})


def call(name: str, call_id: str = "call_1", /, **arguments: Any) -> dict[str, Any]:
    """A tool call as a node sends it."""
    return {"id": call_id, "function": {"index": 0, "name": name, "arguments": arguments}}


@dataclass
class Exchange:
    """A bridge in miniature: what the node says, how the bridge fails, and what came in."""

    lines: list[dict[str, Any] | bytes] = field(default_factory=list)
    whole: dict[str, Any] | None = None
    failure: Failure | None = None
    heartbeats: int = 0  # before the first line
    seen: Inner | None = None

    def answer(self, path: str, payload: bytes) -> tuple[int, Headers, bytes]:
        dialect = DIALECTS[path]
        try:
            self.seen = inner = dialect.read(payload)
        except BadRequest as bad:
            return dialect.failure(Failure.of(bad), REQUEST_ID)
        if self.failure is not None:
            return dialect.failure(self.failure, REQUEST_ID)
        encoder = dialect.encoder(inner, request_id=REQUEST_ID, created=CREATED)
        if not inner.stream:
            body = encoder.whole(orjson.dumps(self.whole))
            return 200, [(b"content-type", encoder.content_type)], body
        out = [encoder.start(), *(encoder.heartbeat() for _ in range(self.heartbeats))]
        try:
            out += [
                encoder.event(line if isinstance(line, bytes) else orjson.dumps(line)) for line in self.lines
            ]
            if not encoder.finished:
                raise NodeFault("the stream ended without its end mark", kind="node_cut")
        except NodeFault as fault:
            out.append(
                encoder.failure(Failure(status=502, message=fault.message, kind=fault.kind, source="node"))
            )
        return 200, [(b"content-type", encoder.content_type)], b"".join(out)

    @property
    def body(self) -> dict[str, Any]:
        """What the node would have got."""
        assert self.seen is not None
        parsed: dict[str, Any] = orjson.loads(self.seen.payload())
        return parsed

    def openai(self) -> openai.OpenAI:
        client = httpx2.Client(transport=httpx2.MockTransport(self._httpx2))
        return openai.OpenAI(base_url="http://bridge/v1", api_key="k", http_client=client, max_retries=0)

    def anthropic(self) -> anthropic.Anthropic:
        client = httpx2.Client(transport=httpx2.MockTransport(self._httpx2))
        return anthropic.Anthropic(base_url="http://bridge", api_key="k", http_client=client, max_retries=0)

    def ollama(self) -> ollama.Client:
        return ollama.Client(host="http://bridge", transport=httpx.MockTransport(self._httpx))

    def _httpx2(self, request: httpx2.Request) -> httpx2.Response:
        status, headers, body = self.answer(request.url.path, request.read())
        return httpx2.Response(status, headers=headers, content=body)

    def _httpx(self, request: httpx.Request) -> httpx.Response:
        status, headers, body = self.answer(request.url.path, request.read())
        return httpx.Response(status, headers=headers, content=body)

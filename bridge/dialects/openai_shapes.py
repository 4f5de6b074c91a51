"""Pieces that OpenAI's routes share: errors, usage, tool calls, logprobs, reasons for the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from bridge.dialects import node_lines, sse
from bridge.dialects.answer import JSON
from bridge.dialects.counts import Counts
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Headers

FINGERPRINT = "fp_ollama"  # what a node itself says on its /v1 routes

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def error(failed: Failure, request_id: str) -> dict[str, Any]:
    """The object under `error`; official clients read its first four fields."""
    return {
        "message": failed.message,
        "type": _TYPES.get(failed.status, "api_error"),
        "param": failed.param,
        "code": failed.code or failed.kind,
        "source": failed.source,
        "request_id": request_id,
    }


def failure(failed: Failure, request_id: str) -> tuple[int, Headers, bytes]:
    """An error before the first byte: status, headers, body."""
    return failed.status, failed.headers(JSON), orjson.dumps({"error": error(failed, request_id)})


def failed_stream(failed: Failure, request_id: str) -> bytes:
    """The last event of a broken stream. Clients raise on `error`; [DONE] would say that all is well."""
    return sse.data(orjson.dumps({"error": error(failed, request_id)}))


def usage(counts: Counts) -> dict[str, Any]:
    """`cached_tokens` only where the node counts them: zero would be a claim."""
    shape: dict[str, Any] = {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.prompt_tokens + counts.output_tokens,
    }
    if counts.cached_tokens is not None:
        shape["prompt_tokens_details"] = {"cached_tokens": counts.cached_tokens}
    return shape


def finish_reason(done_reason: str, *, called: bool) -> str:
    """`length`, `tool_calls` or `stop`; what only a node knows ("load") is `stop` to these clients."""
    if done_reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


def tool_calls(message: dict[str, Any], request_id: str, first: int = 0) -> list[dict[str, Any]]:
    """A node's tool calls; `first` is how many came before. A missing id is made from the request's."""
    shapes = []
    for at, (call_id, name, arguments) in enumerate(calls(message), start=first):
        shapes.append(
            {
                "index": at,
                "id": call_id or f"call_{request_id}_{at}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
    return shapes


def calls(message: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Id (perhaps empty), name, and arguments as JSON, of each tool that a node's message calls."""
    for call in _objects(message.get("tool_calls")):
        function = call.get("function")
        if not isinstance(function, dict):
            continue
        arguments = function.get("arguments")
        yield (
            node_lines.text(call, "id"),
            node_lines.text(function, "name"),
            arguments if isinstance(arguments, str) else node_lines.dumps(arguments or {}).decode(),
        )


def logprobs(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """A node's logprobs with every field that OpenAI's clients require."""
    return [
        _token(token) | {"top_logprobs": [_token(top) for top in _objects(token.get("top_logprobs"))]}
        for token in _objects(reply.get("logprobs"))
    ]


def _token(token: dict[str, Any]) -> dict[str, Any]:
    logprob, raw = token.get("logprob"), token.get("bytes")
    return {
        "token": node_lines.text(token, "token"),
        "logprob": logprob if type(logprob) in (int, float) else 0.0,
        "bytes": raw if isinstance(raw, list) and all(type(byte) is int for byte in raw) else None,
    }


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

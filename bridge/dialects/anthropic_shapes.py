"""Pieces of Anthropic's messages: errors, usage, reasons for the end."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson

from bridge.dialects.answer import JSON
from bridge.dialects.counts import Counts
from bridge.dialects.failure import Failure
from bridge.dialects.inner import Headers

# https://docs.anthropic.com/en/api/errors
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOP_REASONS = {"length": "max_tokens"}


def error(failed: Failure, request_id: str) -> dict[str, Any]:
    """The whole error object; clients read type, error.type, error.message and request_id."""
    return {
        "type": "error",
        "error": {
            "type": _TYPES.get(failed.status, "api_error"),
            "message": failed.message,
            "code": failed.code or failed.kind,
            "source": failed.source,
        },
        "request_id": request_id,
    }


def failure(failed: Failure, request_id: str) -> tuple[int, Headers, bytes]:
    """An error before the first byte: status, headers, body."""
    headers = [*failed.headers(JSON), (b"request-id", request_id.encode())]
    return failed.status, headers, orjson.dumps(error(failed, request_id))


def usage(counts: Counts) -> dict[str, int]:
    """Here input tokens are those that no cache held, so that the two add up to the prompt."""
    shape = {
        "input_tokens": max(0, counts.prompt_tokens - (counts.cached_tokens or 0)),
        "output_tokens": counts.output_tokens,
    }
    if counts.cached_tokens is not None:
        shape["cache_read_input_tokens"] = counts.cached_tokens
    return shape


def stop_reason(done_reason: str, *, called: bool) -> str:
    """A node does not tell a stop sequence from the end of the turn."""
    return "tool_use" if called else _STOP_REASONS.get(done_reason, "end_turn")


def signature(request_id: str) -> str:
    """Clients send a thinking block back only with a signature; nothing here verifies it."""
    return b64encode(f"ollama-bridge:{request_id}".encode()).decode()

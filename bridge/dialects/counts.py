"""What a node counted and timed, from the last line of its stream or its whole reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens and durations. A node leaves out what is zero."""

    prompt_tokens: int = 0  # cached ones included
    cached_tokens: int | None = None  # None: the node is too old to say
    output_tokens: int = 0
    total_ns: int = 0
    load_ns: int = 0  # waiting in the node's own queue included
    prompt_eval_ns: int = 0
    eval_ns: int = 0
    done_reason: str = ""


def of(reply: Mapping[str, Any]) -> Counts:
    """Counts of a parsed last line or whole reply; what is missing or no whole number is zero."""
    cached = reply.get("prompt_eval_cached_count")
    reason = reply.get("done_reason")
    return Counts(
        prompt_tokens=_whole(reply.get("prompt_eval_count")),
        cached_tokens=None if cached is None else _whole(cached),
        output_tokens=_whole(reply.get("eval_count")),
        total_ns=_whole(reply.get("total_duration")),
        load_ns=_whole(reply.get("load_duration")),
        prompt_eval_ns=_whole(reply.get("prompt_eval_duration")),
        eval_ns=_whole(reply.get("eval_duration")),
        done_reason=reason if isinstance(reason, str) else "",
    )


def read(line: bytes) -> Counts | None:
    """Counts of a raw last line or whole reply; None when it is not a JSON object."""
    try:
        reply = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return of(reply) if isinstance(reply, dict) else None


def _whole(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0

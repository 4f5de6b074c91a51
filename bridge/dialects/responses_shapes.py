"""The objects inside a response of /v1/responses."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from bridge.dialects.counts import Counts

Item = dict[str, Any]


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The one part of a message's content."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def message(item_id: str, status: str, content: list[dict[str, Any]]) -> Item:
    """The assistant's message as an item."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning(item_id: str, status: str, text: str) -> Item:
    """The model's thinking as a summary, which is where a node's own route and agents' screens have it.

    Clients without stored state send an item back only if it has encrypted content, so it has a seal; the
    text itself is in the summary.
    """
    summary = [{"type": "summary_text", "text": text}] if text else []
    seal = b64encode(item_id.encode()).decode()
    return {
        "id": item_id,
        "type": "reasoning",
        "status": status,
        "summary": summary,
        "encrypted_content": seal,
    }


def function_call(
    item_id: str, status: str, *, call_id: str, name: str, namespace: str, arguments: str
) -> Item:
    """A call as an item; `arguments` is JSON."""
    shape = {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }
    return shape | {"namespace": namespace} if namespace else shape


def usage(counts: Counts) -> dict[str, Any]:
    """Clients require the details, so what a node does not count stands as zero."""
    return {
        "input_tokens": counts.prompt_tokens,
        "input_tokens_details": {"cached_tokens": counts.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counts.prompt_tokens + counts.output_tokens,
    }

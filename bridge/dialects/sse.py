"""Server-sent events as OpenAI's and Anthropic's clients read them."""

from __future__ import annotations

CONTENT_TYPE = b"text/event-stream; charset=utf-8"
HEARTBEAT = b": waiting\n\n"  # a comment, which every reader of the format skips
DONE = b"data: [DONE]\n\n"


def data(payload: bytes) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % payload


def named(event: bytes, payload: bytes) -> bytes:
    """An event with a name."""
    return b"event: %b\ndata: %b\n\n" % (event, payload)

"""Chunks of /v1/chat/completions, line by line."""

from __future__ import annotations

import orjson

from bridge.dialects import openai_chat
from bridge.dialects.openai_chat_reply import ChatCompletion

CREATED = 1_700_000_000


def encoder(**fields: object) -> ChatCompletion:
    request = {"model": "llama3.2", "stream": True, "messages": [{"role": "user", "content": "hi"}], **fields}
    return ChatCompletion(openai_chat.read(orjson.dumps(request)), request_id="r1", created=CREATED)


def line(message: dict[str, object], **fields: object) -> bytes:
    head = {
        "model": "llama3.2:latest",
        "created_at": "2026-08-21T18:48:22Z",
        "message": message,
        "done": False,
    }
    return orjson.dumps(head | fields)


def test_only_the_first_delta_says_the_role() -> None:
    stream = encoder()
    first, second = (stream.event(line({"role": "assistant", "content": text})) for text in ("He", "llo"))
    assert b'"delta":{"role":"assistant","content":"He"}' in first
    assert b'"delta":{"content":"llo"}' in second


def test_the_heartbeat_is_a_comment_that_clients_skip() -> None:
    assert encoder().heartbeat() == b": waiting\n\n"

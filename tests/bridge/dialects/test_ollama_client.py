"""/api/* as the official ollama package sees it."""

from __future__ import annotations

from typing import Any

import ollama
import orjson
import pytest

from bridge.dialects.failure import Failure
from bridge.dialects.ollama_reply import emptied
from tests.bridge.dialects.exchange import CREATED, DIALECTS, Exchange, call, chat, text

HELLO = [{"role": "user", "content": "hi"}]


def test_the_nodes_bytes_arrive_untouched() -> None:
    odd = b'{"model":"m", "created_at":"2026-08-21T18:48:22Z" ,"message":{"content":"\\u00e9"},"done":false}'
    end = orjson.dumps(chat(done="stop"))
    _, _, body = Exchange(lines=[odd, end]).answer("/api/chat", b'{"model":"m","messages":[{"role":"user"}]}')
    assert body == odd + b"\n" + end + b"\n"


def test_a_chat_streams_with_heartbeats_that_add_nothing() -> None:
    exchange = Exchange(lines=[chat("He"), chat("llo"), chat(done="stop")], heartbeats=2)
    parts = list(exchange.ollama().chat(model="m", messages=HELLO, stream=True))
    assert "".join(part.message.content for part in parts) == "Hello"
    assert [part.done for part in parts] == [False, False, False, False, True]
    assert parts[-1].eval_count == 9


def test_a_generation_streams_with_heartbeats_that_add_nothing() -> None:
    exchange = Exchange(lines=[text("He"), text("llo"), text(done="stop")], heartbeats=2)
    parts = list(exchange.ollama().generate(model="m", prompt="hi", stream=True))
    assert "".join(part.response for part in parts) == "Hello"


def test_whole_answers_pass() -> None:
    answer = Exchange(whole=chat("Hi", done="stop", tool_calls=[call("f", a=1)])).ollama().chat("m", HELLO)
    assert answer.message.content == "Hi"
    assert answer.message.tool_calls[0].function.arguments == {"a": 1}
    assert Exchange(whole=text("Hi", done="stop")).ollama().generate("m", "hi").response == "Hi"


def test_embeddings_pass_in_both_forms() -> None:
    new = Exchange(whole={"model": "m", "embeddings": [[0.5, 1.0]], "prompt_eval_count": 3})
    assert new.ollama().embed("m", "hi").embeddings == [[0.5, 1.0]]
    old = Exchange(whole={"embedding": [0.5]})
    assert old.ollama().embeddings("m", "hi").embedding == [0.5]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([chat("He"), {"error": "out of memory"}], "out of memory"),
        ([chat("He")], "without its end mark"),
        ([chat("He"), b"[]"], "not a JSON object"),
    ],
)
def test_a_stream_that_breaks_raises_in_the_client(lines: list[dict[str, Any] | bytes], says: str) -> None:
    with pytest.raises(ollama.ResponseError, match=says):
        list(Exchange(lines=lines).ollama().chat(model="m", messages=HELLO, stream=True))


def test_a_refusal_raises_with_status_and_text_alone() -> None:
    failure = Failure(status=503, message="the queue is full", kind="queue_full", retry_after_s=4)
    with pytest.raises(ollama.ResponseError) as caught:
        Exchange(failure=failure).ollama().chat("m", HELLO)
    assert caught.value.status_code == 503
    assert caught.value.error == "the queue is full"


def test_a_refusal_says_who_failed_and_when_to_come_back() -> None:
    failure = Failure(status=503, message="full", kind="queue_full", retry_after_s=4, should_retry=True)
    exchange = Exchange(failure=failure)
    status, headers, body = exchange.answer("/api/chat", b'{"model":"m"}')
    assert status == 503
    assert (b"retry-after", b"4") in headers
    assert (b"x-should-retry", b"true") in headers
    assert orjson.loads(body) == {
        "error": "full",
        "code": "queue_full",
        "source": "bridge",
        "request_id": "req1",
    }


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/chat", {"model": "m", "messages": []}),
        ("/api/generate", {"model": "m", "stream": True}),
        ("/api/embed", {"model": "m", "input": ""}),
        ("/api/embeddings", {"model": "m", "prompt": ""}),
        ("/v1/completions", {"model": "m", "prompt": ""}),
        ("/v1/completions", {"model": "m", "prompt": "", "stream": True}),
    ],
)
def test_the_bridges_own_reply_to_a_load_is_one_that_the_encoder_takes(
    path: str, asked: dict[str, Any]
) -> None:
    inner = DIALECTS[path].read(orjson.dumps(asked))
    assert inner.purpose == "load"
    reply = orjson.loads(emptied(inner, CREATED))
    status, _, body = Exchange(whole=reply, lines=[reply]).answer(path, orjson.dumps(asked))
    assert status == 200
    assert b"error" not in body


@pytest.mark.parametrize(("route", "reason"), [("chat", "load"), ("chat", "unload"), ("generate", "unload")])
def test_a_load_or_unload_is_answered_like_a_node_does(route: str, reason: str) -> None:
    keep = {"keep_alive": 0} if reason == "unload" else {}
    inner = DIALECTS[f"/api/{route}"].read(orjson.dumps({"model": "m", **keep}))
    reply = orjson.loads(emptied(inner, CREATED))
    assert reply["done"] is True
    assert reply["done_reason"] == reason
    assert reply["created_at"] == "2023-11-14T22:13:20Z"
    assert reply["message" if route == "chat" else "response"] in ({"role": "assistant", "content": ""}, "")


def test_a_whole_reply_without_its_end_mark_is_a_fault() -> None:
    exchange = Exchange(whole=chat("He"))
    with pytest.raises(Exception, match="no end mark"):
        exchange.answer("/api/chat", b'{"model":"m","messages":[{"role":"user"}],"stream":false}')


def test_a_rendered_prompt_passes_though_it_has_no_end_mark() -> None:
    whole = {"model": "m", "done": False, "_debug_info": {"rendered_template": "x"}}
    asked = b'{"model":"m","messages":[{"role":"user"}],"_debug_render_only":true}'
    status, headers, body = Exchange(whole=whole).answer("/api/chat", asked)
    assert (status, orjson.loads(body)) == (200, whole)
    assert headers == [(b"content-type", b"application/json; charset=utf-8")]


def test_an_end_mark_inside_a_tools_arguments_is_no_end() -> None:
    lines = [chat(tool_calls=[call("f", done=True)])]
    with pytest.raises(ollama.ResponseError, match="end mark"):
        list(Exchange(lines=lines).ollama().chat(model="m", messages=HELLO, stream=True))
    ended = [chat(tool_calls=[call("f", done=False)], done="stop")]
    assert list(Exchange(lines=ended).ollama().chat(model="m", messages=HELLO, stream=True))[-1].done

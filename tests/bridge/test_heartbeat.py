"""A stream that waits long gets its headers and heartbeats, which the official clients accept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import HELLO, Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

NAMES = ("raw_chat", "raw_openai", "raw_anthropic", "by_openai", "by_anthropic", "by_ollama")
LOAD_FACTOR = 40  # a load of 25 ms takes a second: many heartbeats
END = {
    "/api/chat": b'"done":true',
    "/v1/chat/completions": b"data: [DONE]",
    "/v1/messages": b"event: message_stop",
}


@pytest.fixture(scope="module")
def slow(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each model loads once, and takes a second for it; who waits three for a seat is refused."""
    models = ",".join(f"{name}=0.5" for name in NAMES)
    directory = tmp_path_factory.mktemp("heartbeat") / "data"
    flags: dict[str, Any] = {**QUICK, "load_fixed": 0.025 * LOAD_FACTOR}
    with NodeProcess(models, vram_gib=24, slots=1, max_loaded=9, **flags) as node:
        env = {"BRIDGE_DEFAULT_SLOTS": "1", "BRIDGE_HEARTBEAT": "0.1s", "BRIDGE_DEADLINE": "3s"}
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            key = bridge.key()
            yield Served(node, bridge.start(), key)
        finally:
            bridge.close()


def waited(served: Served, route: str, model: str) -> tuple[dict[str, str], bytes]:
    """Headers and all bytes of a stream whose model is not loaded yet."""
    with Wire(served.bridge, served.key) as wire:
        wire.send(route, served.body(route, stream=True, model=model))
        status, headers = wire.head()
        assert status == 200
        assert served.node.state()["loading"] == f"{model}:latest"  # headers are out before the load is over
        text = wire.until(END[route])
    assert served.bridge.record(headers["x-request-id"])["outcome"] == "answered"
    return headers, text


def test_a_native_stream_beats_with_chunks_without_content(slow: Served) -> None:
    _, text = waited(slow, "/api/chat", "raw_chat")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
    empty = [line for line in lines if not line["done"] and line["message"]["content"] == ""]
    assert len(empty) >= 2
    assert all(line["model"].startswith("raw_chat") for line in lines)
    assert lines[-1]["done"]
    assert "".join(line["message"]["content"] for line in lines)


@pytest.mark.parametrize(
    ("route", "model"), [("/v1/chat/completions", "raw_openai"), ("/v1/messages", "raw_anthropic")]
)
def test_a_stream_of_events_beats_with_what_its_readers_skip(slow: Served, route: str, model: str) -> None:
    headers, text = waited(slow, route, model)
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    beats = [line for line in text.splitlines() if line.startswith(b":") or line == b"event: ping"]
    assert len(beats) >= 2


@pytest.mark.clients
def test_the_openai_client_accepts_heartbeats(slow: Served) -> None:
    with openai.OpenAI(base_url=f"{slow.bridge.url}/v1", api_key=slow.key, max_retries=0) as client:
        stream = client.chat.completions.create(model="by_openai", messages=HELLO, max_tokens=8, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@pytest.mark.clients
def test_the_anthropic_client_accepts_heartbeats(slow: Served) -> None:
    with (
        anthropic.Anthropic(base_url=slow.bridge.url, api_key=slow.key, max_retries=0) as client,
        client.messages.stream(model="by_anthropic", messages=HELLO, max_tokens=8) as stream,
    ):
        assert stream.get_final_text()


@pytest.mark.clients
def test_the_ollama_client_accepts_heartbeats(slow: Served) -> None:
    with ollama.Client(host=slow.bridge.url, headers={"Authorization": f"Bearer {slow.key}"}) as client:
        parts = list(client.chat("by_ollama", messages=HELLO, options={"num_predict": 8}, stream=True))
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done


def test_a_refusal_after_the_headers_is_an_error_that_the_client_sees(slow: Served) -> None:
    warm = slow.body("/api/chat", stream=False, model="by_ollama")
    with slow.bridge.client(slow.key) as client, Wire(slow.bridge, slow.key) as holder:
        assert client.post("/api/chat", json=warm).status_code == 200
        slow.node.arm("hang", count=1, after=1)
        holder.send("/api/chat", slow.body("/api/chat", stream=True, model="by_ollama"))
        holder.until(b"one")

        def refused(route: str) -> httpx.Response:
            return client.post(route, json=slow.body(route, stream=True, model="by_ollama"))

        with ThreadPoolExecutor() as pool:  # all wait for the one seat until their deadline
            whole = pool.submit(client.post, "/api/chat", json=warm)
            replies = dict(zip(END, pool.map(refused, END), strict=True))
            without_stream = whole.result()
    for route, reply in replies.items():
        assert reply.status_code == 200
        assert "No seat within" in reply.text
        assert '"error"' in reply.text
        assert END[route].decode() not in reply.text
        record = slow.bridge.record(reply.headers["x-request-id"])
        assert (record["outcome"], record["reason"], record["status"]) == ("refused", "deadline", 503)
    # Who does not stream has no headers yet, and gets the status.
    assert without_stream.status_code == 503
    assert 1 <= int(without_stream.headers["retry-after"]) <= 60


def test_no_tokens_asked_for_is_a_short_answer_and_not_an_endless_one(slow: Served) -> None:
    with slow.bridge.client(slow.key) as client:
        body = slow.body("/api/chat", stream=False, model="by_ollama", options={"num_predict": 0})
        reply = client.post("/api/chat", json=body)
    assert reply.status_code == 200
    assert reply.json()["done"]
    assert reply.json()["eval_count"] <= 1

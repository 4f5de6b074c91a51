"""The client against answers made up here; test_client_on_a_node.py has the node's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from scheduler.nodes import (
    ModelMissing,
    NodeBusy,
    NodeClient,
    NodeDown,
    NodeError,
    NodeGarbage,
    NodeTimeout,
    OutOfMemory,
)
from scheduler.nodes import exchange as exchange_module

pytestmark = pytest.mark.asyncio

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Node:
    """Answers by path and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[request.url.path.rpartition("/")[2]]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return await answer(request)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body))

    def client(self) -> NodeClient:
        return NodeClient("a", "http://a:11434", transport=httpx.MockTransport(self.handle))

    def bodies(self, path: str) -> list[Any]:
        return [json.loads(r.content) for r in self.requests if r.url.path == path]


async def silence(request: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


LOADED = {"model": "m:latest", "done": True, "done_reason": "load"}
PROFILE: dict[str, Any] = {"options": {"num_ctx": 8192}, "keep_alive": -1, "deadline_s": 5.0}


def ps(*names: str) -> dict[str, Any]:
    return {"models": [{"model": name, "size": 1, "size_vram": 1, "digest": "d"} for name in names]}


async def test_a_load_carries_its_profile_and_nothing_of_a_client() -> None:
    node = Node(generate=LOADED | {"load_duration": 2_500_000_000})
    loaded = await node.client().load("m:latest", **PROFILE, shift=False)
    (request,) = node.requests
    assert json.loads(request.content) == {
        "model": "m:latest",
        "options": {"num_ctx": 8192},
        "keep_alive": -1,
        "stream": False,
        "shift": False,
    }
    assert loaded.node_seconds == 2.5
    assert set(request.headers) == {
        *("host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length")
    }
    assert request.headers["user-agent"] == "ollama-bridge"


async def test_an_embedding_model_is_loaded_by_an_empty_embed() -> None:
    node = Node(embed={"model": "m:latest", "embeddings": []})
    await node.client().load("m:latest", **PROFILE, embedding=True)
    assert node.bodies("/api/embed") == [
        {"model": "m:latest", "options": {"num_ctx": 8192}, "keep_alive": -1}
    ]


async def test_a_model_that_turns_out_to_embed_only_is_loaded_all_the_same() -> None:
    node = Node(
        generate=(400, {"error": '"m:latest" does not support generate'}),
        embed={"model": "m:latest", "embeddings": []},
    )
    await node.client().load("m:latest", **PROFILE)
    assert [r.url.path for r in node.requests] == ["/api/generate", "/api/embed"]


@pytest.mark.parametrize("answer", [{}, {"done": False}, {"model": "m", "response": "Hello"}])
async def test_a_load_is_believed_only_with_done(answer: dict[str, Any]) -> None:
    with pytest.raises(NodeGarbage, match="without done"):
        await Node(generate=answer).client().load("m:latest", **PROFILE)


async def test_a_load_that_is_cancelled_closes_its_request() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()
        raise AssertionError

    load = asyncio.create_task(Node(generate=never).client().load("m:latest", **PROFILE))
    await asked.wait()
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert closed.is_set()


async def test_an_unload_waits_until_the_model_is_gone() -> None:
    node = Node(
        generate={"done": True, "done_reason": "unload"},
        ps=[ps("m:latest", "n:latest"), ps("m:latest"), ps()],
    )
    assert await node.client().unload("m:latest", deadline_s=5.0) > 0
    assert node.bodies("/api/generate") == [{"model": "m:latest", "keep_alive": 0, "stream": False}]
    assert [r.url.path for r in node.requests] == ["/api/generate", *["/api/ps"] * 3]


async def test_an_unload_that_never_happens_is_a_timeout() -> None:
    node = Node(generate={"done": True}, ps=ps("m:latest"))
    with pytest.raises(NodeTimeout, match="still loaded"):
        await node.client().unload("m:latest", deadline_s=0.1)


async def test_a_probe_generates_one_token() -> None:
    node = Node(generate={"done": True, "done_reason": "length", "load_duration": 1_000_000})
    probed = await node.client().probe("m:latest", **PROFILE)
    (body,) = node.bodies("/api/generate")
    assert (body["options"], body["keep_alive"]) == ({"num_ctx": 8192, "num_predict": 1}, -1)
    assert body["prompt"]
    assert probed.load_seconds == 0.001


async def test_a_probe_of_an_embedding_model_embeds_and_wants_a_vector() -> None:
    node = Node(embed=[{"embeddings": [[0.5]]}, {"embeddings": []}])
    await node.client().probe("m:latest", **PROFILE, embedding=True)
    with pytest.raises(NodeGarbage):
        await node.client().probe("m:latest", **PROFILE, embedding=True)


async def test_null_head_counts_are_asked_again_in_full() -> None:
    info = {"general.architecture": "lfm2", "lfm2.attention.head_count_kv": None}
    full = info | {"lfm2.attention.head_count_kv": [0, 8]}
    node = Node(show=[{"model_info": info}, {"model_info": full}])
    shown = await node.client().show("m:latest")
    assert shown.model_info["lfm2.attention.head_count_kv"] == [0, 8]
    assert [body["verbose"] for body in node.bodies("/api/show")] == [False, True]


async def test_a_show_without_nulls_is_asked_once() -> None:
    node = Node(show={"model_info": {"general.architecture": "llama", "llama.block_count": 32}})
    await node.client().show("m:latest")
    assert len(node.requests) == 1


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (httpx.ConnectError("connection refused"), NodeDown),
        (httpx.ConnectTimeout("slow"), NodeDown),
        (httpx.ReadError("reset"), NodeDown),
        (httpx.RemoteProtocolError("server disconnected"), NodeDown),
        (httpx.WriteTimeout("stuck"), NodeTimeout),
        (b"<html>nginx</html>", NodeGarbage),
        (b"", NodeGarbage),
        (b"[]", NodeGarbage),
        ({"version": 1}, NodeGarbage),
        ((502, b"<html>bad gateway</html>"), NodeError),
        ((301, b""), NodeError),
        ((503, {"error": "server busy"}), NodeBusy),
        ((404, b"404 page not found"), ModelMissing),
        ((500, {"error": "cudaMalloc failed: out of memory"}), OutOfMemory),
        ({"error": "cudaMalloc failed: out of memory"}, OutOfMemory),
    ],
)
async def test_each_failure_has_its_type(answer: Any, failure: type[Exception]) -> None:
    with pytest.raises(failure) as caught:
        await Node(version=answer).client().version()
    assert type(caught.value) is failure


async def test_silence_is_a_timeout() -> None:
    with pytest.raises(NodeTimeout, match=r"no answer in 0\.05 s"):
        await Node(ps=silence).client().ps(deadline_s=0.05)


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "LARGEST_REPLY", 1000)

    async def endless(request: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            while True:
                yield b" " * 100

        return httpx.Response(200, content=body())

    with pytest.raises(NodeGarbage, match="more than 1000 bytes"):
        await Node(tags=endless).client().tags()


async def test_a_proxy_in_the_environment_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client = NodeClient("a", "http://127.0.0.1:2")
    with pytest.raises(NodeDown):
        await client.version()
    assert client._exchange._client._mounts == {}
    await client.aclose()

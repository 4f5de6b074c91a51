"""Dynamic context end to end: it grows by planned reloads, and never flaps."""

from __future__ import annotations

from typing import Any

from tests.conftest import FakeNode, Serve


def body(num_ctx: int | None = None, content: str = "one two") -> dict[str, Any]:
    options = {"num_predict": 2} | ({"num_ctx": num_ctx} if num_ctx else {})
    return {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": content}],
        "stream": False,
        "options": options,
    }


def test_alternating_routes_and_contexts_cause_one_planned_reload_and_no_other(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node("llama3.2=2@32768")
    bridge = serve([node.url])
    key = bridge.key()
    with bridge.client(key) as client:
        for num_ctx in (None, 16384, None, 4096, 16384, 2048):
            assert client.post("/api/chat", json=body(num_ctx)).status_code == 200
            openai = {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
            assert client.post("/v1/chat/completions", json=openai).status_code == 200
        (resident,) = client.get("/api/ps").json()["models"]
    report = node.report()
    assert report["reloads_total"] == 0, "the node itself never had to reload"
    assert report["loads_total"] == 2, "first at the usual context, then once at the larger one"
    assert resident["context_length"] == 16384


def test_a_long_prompt_gets_a_context_that_holds_it(fake_node: FakeNode, serve: Serve) -> None:
    node = fake_node("llama3.2=2@131072")
    bridge = serve([node.url])
    key = bridge.key()
    with bridge.client(key) as client:
        reply = client.post("/api/chat", json=body(content="word " * 12_000))
        assert reply.status_code == 200
        (resident,) = client.get("/api/ps").json()["models"]
    assert resident["context_length"] >= 16384
    assert reply.json()["prompt_eval_count"] < resident["context_length"]


def test_a_prompt_that_fits_no_context_is_a_400_with_the_numbers(fake_node: FakeNode, serve: Serve) -> None:
    bridge = serve([fake_node("llama3.2=2@4096").url])
    key = bridge.key()
    with bridge.client(key) as client:
        reply = client.post("/v1/chat/completions", json=body(content="word " * 20_000))
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"
    assert "4096" in reply.json()["error"]["message"]

"""What a client changes in a node's store is known to the catalogue when its call ends."""

from __future__ import annotations

from tests.conftest import FakeNode, Serve


def test_a_model_that_was_pulled_can_be_run_at_once_and_is_gone_after_its_deletion(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node("llama3.2=2", registry="qwen3=5", pull_gbps=100)
    bridge = serve([node.url])
    key = bridge.key("manager", "--scopes", "chat,models,manage")
    ask = {"model": "qwen3", "prompt": "one two", "stream": False, "options": {"num_predict": 2}}
    with bridge.client(key) as client:
        assert client.post("/api/generate", json=ask).status_code == 404
        pulled = client.post("/api/pull", json={"model": "qwen3"})
        assert '"success"' in pulled.text
        assert client.post("/api/generate", json=ask).status_code == 200
        assert client.post("/api/copy", json={"source": "qwen3", "destination": "mine"}).status_code == 200
        assert client.post("/api/generate", json=ask | {"model": "mine"}).status_code == 200
        assert client.request("DELETE", "/api/delete", json={"model": "mine"}).status_code == 200
        assert client.post("/api/generate", json=ask | {"model": "mine"}).status_code == 404


def test_a_pull_at_the_node_itself_is_noticed(fake_node: FakeNode, serve: Serve) -> None:
    node = fake_node("llama3.2=2", registry="qwen3=5", pull_gbps=100)
    bridge = serve([node.url])
    key = bridge.key()
    with bridge.client(key) as client:
        client.post(f"{node.url}/api/pull", json={"model": "qwen3"})
        bridge.until(lambda: "qwen3:latest" in {m["id"] for m in client.get("/v1/models").json()["data"]})

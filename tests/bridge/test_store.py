"""The model store through the bridge: for keys with scope `manage`, on one node, its bytes untouched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

MIB = 2**20
BLOB_MIB = 6


class Store(Served):
    """A second node beside it, and a key for models whose names begin with `mine`."""

    other: NodeProcess
    narrow_key: str
    names: tuple[str, str]  # of the two nodes


@pytest.fixture(scope="module")
def store(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two nodes, and a body limit far below the size of a blob."""
    directory = tmp_path_factory.mktemp("store") / "data"
    flags: dict[str, Any] = {**QUICK, "registry": "tiny=0.1", "pull_gbps": 10}
    with NodeProcess("llama3.2=2", **flags) as node, NodeProcess("qwen3=5", **flags) as other:
        env = {"BRIDGE_BODY_LIMIT": "64KiB", "BRIDGE_BODY_TIMEOUT": "1s"}
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url, other.url], **env)
        try:
            bridge.manage("synccatalog")
            made = Store(node, bridge, bridge.key("manager", "--scopes", "manage,models"))
            made.other = other
            made.narrow_key = bridge.key("mine", "--scopes", "manage", "--models", "mine*")
            listed = json.loads(bridge.manage("nodes", "--json"))
            by_url = {row["url"]: row["name"] for row in listed}
            made.names = (by_url[node.url], by_url[other.url])
            bridge.start()
            yield made
        finally:
            bridge.close()


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    """A manager who means the first node."""
    with store.bridge.client(store.key) as client:
        client.headers["X-Bridge-Node"] = store.names[0]
        yield client


def held(node: NodeProcess) -> set[str]:
    models = httpx.get(f"{node.url}/api/tags", trust_env=False).json()["models"]
    return {model["name"] for model in models}


def test_a_pull_streams_its_progress_and_lands_on_the_named_node(store: Store, client: httpx.Client) -> None:
    with client.stream("POST", "/api/pull", json={"model": "tiny"}) as reply:
        lines = [json.loads(line) for line in reply.iter_lines()]
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["x-bridge-node"] == store.names[0]
    completed = [line["completed"] for line in lines if "completed" in line]
    assert completed == sorted(completed)
    assert len(completed) >= 3
    assert lines[-1] == {"status": "success"}
    assert "tiny:latest" in held(store.node)
    assert "tiny:latest" not in held(store.other)
    record = store.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["route"], record["model"]) == ("answered", "/api/pull", "tiny:latest")


def test_a_model_is_copied_made_and_deleted(store: Store, client: httpx.Client) -> None:
    reply = client.post("/api/copy", json={"source": "llama3.2", "destination": "mine-copy"})
    assert (reply.status_code, reply.content) == (200, b"")
    made = {"model": "mine-made", "from": "llama3.2", "system": "Be brief.", "stream": False}
    reply = client.post("/api/create", json=made)
    assert reply.json() == {"status": "success"}
    assert {"mine-copy:latest", "mine-made:latest"} <= held(store.node)
    for name in ("mine-copy", "mine-made"):
        assert client.request("DELETE", "/api/delete", json={"model": name}).status_code == 200
    assert not {"mine-copy:latest", "mine-made:latest"} & held(store.node)


@pytest.mark.parametrize("sized", [True, False], ids=["with its length", "in chunks"])
def test_a_blob_of_several_megabytes_is_streamed_through(client: httpx.Client, *, sized: bool) -> None:
    pieces = [os.urandom(MIB) for _ in range(BLOB_MIB)]
    digest = f"sha256:{hashlib.sha256(b''.join(pieces)).hexdigest()}"
    path = f"/api/blobs/{digest}"
    assert client.head(path).status_code == 404
    headers = {"Content-Length": str(BLOB_MIB * MIB)} if sized else {}
    reply = client.post(path, content=iter(pieces), headers=headers)
    assert reply.status_code == 201, reply.text
    assert client.head(path).status_code == 200
    made = {"model": "mine-blob", "files": {"model.gguf": digest}, "stream": False}
    assert client.post("/api/create", json=made).json() == {"status": "success"}
    assert client.request("DELETE", "/api/delete", json={"model": "mine-blob"}).status_code == 200


def test_a_blob_that_stops_coming_is_a_408(store: Store) -> None:
    with Wire(store.bridge, store.key) as wire:
        header = {"X-Bridge-Node": store.names[0]}
        wire.send_head(f"/api/blobs/sha256:{'1' * 64}", MIB, agent="uploader", headers=header)
        wire.send_bytes(b"x" * 1000)
        assert wire.head()[0] == 408
    store.bridge.until(lambda: store.bridge.records(client="uploader"))
    (record,) = store.bridge.records(client="uploader")
    assert (record["outcome"], record["status"]) == ("refused", 408)


def test_what_the_node_says_is_wrong_comes_through(store: Store, client: httpx.Client) -> None:
    wrong = f"/api/blobs/sha256:{'0' * 64}"
    reply = client.post(wrong, content=b"something else")
    assert reply.status_code == 400
    assert "digest mismatch" in reply.json()["error"]
    assert store.bridge.record(reply.headers["x-request-id"])["outcome"] == "failed"
    reply = client.post("/api/push", json={"model": "nobody-has-it"})
    told = json.loads(reply.text.splitlines()[-1])["error"]
    assert told.startswith("open ")
    assert "/nobody-has-it/latest: no such file or directory" in told
    assert reply.status_code == 200
    record = store.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["reason"]) == ("failed", "node_error")
    reply = client.request("DELETE", "/api/delete", json={"model": "nobody-has-it"})
    assert reply.status_code == 404
    assert "not found" in reply.json()["error"]


def test_without_the_scope_it_is_a_403(store: Store) -> None:
    key = store.bridge.key("plain")
    with store.bridge.client(key) as client:
        for method, path in (
            ("POST", "/api/pull"),
            ("POST", "/api/push"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("DELETE", "/api/delete"),
            ("POST", f"/api/blobs/sha256:{'0' * 64}"),
        ):
            reply = client.request(method, path, json={"model": "tiny"})
            assert reply.status_code == 403, path
            assert "manage" in reply.json()["error"]
        assert client.head(f"/api/blobs/sha256:{'0' * 64}").status_code == 403


def test_between_two_nodes_the_header_must_choose(store: Store) -> None:
    with store.bridge.client(store.key) as client:
        for headers in ({}, {"X-Bridge-Node": "nowhere"}):
            reply = client.post("/api/pull", json={"model": "tiny"}, headers=headers)
            assert reply.status_code == 400
            assert all(name in reply.json()["error"] for name in store.names)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/pull", {"model": "gpt-oss:120b-cloud"}),
        ("/api/copy", {"source": "deepseek:671b-cloud", "destination": "mine"}),
        ("/api/create", {"model": "mine", "from": "gpt-oss:20b-cloud"}),
    ],
)
def test_cloud_names_go_nowhere(store: Store, client: httpx.Client, path: str, body: dict[str, str]) -> None:
    reply = client.post(path, json=body)
    assert reply.status_code == 400
    assert "ollama.com" in reply.json()["error"]
    assert store.node.report()["http"]["cloud_forwards"] == 0


def test_a_key_manages_only_what_its_globs_name(store: Store, client: httpx.Client) -> None:
    with store.bridge.client(store.narrow_key) as narrow:
        narrow.headers["X-Bridge-Node"] = store.names[0]
        for method, path, body in (
            ("DELETE", "/api/delete", {"model": "llama3.2"}),
            ("POST", "/api/copy", {"source": "mine-1", "destination": "yours"}),
            ("POST", "/api/copy", {"source": "llama3.2", "destination": "mine-1"}),
            ("POST", "/api/create", {"model": "mine-1", "from": "llama3.2"}),
        ):
            reply = narrow.request(method, path, json=body)
            assert reply.status_code == 403, body
        assert client.post("/api/copy", json={"source": "llama3.2", "destination": "mine-1"}).is_success
        assert narrow.post("/api/copy", json={"source": "mine-1", "destination": "mine-2"}).is_success
        for name in ("mine-1", "mine-2"):
            assert narrow.request("DELETE", "/api/delete", json={"model": name}).is_success


@pytest.mark.parametrize("payload", [b"{", b"[]", b'{"model": "a b c"}'])
def test_what_is_no_request_is_a_400(client: httpx.Client, payload: bytes) -> None:
    reply = client.post("/api/pull", content=payload)
    assert reply.status_code == 400
    assert isinstance(reply.json()["error"], str)

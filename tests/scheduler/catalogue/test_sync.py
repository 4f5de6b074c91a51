from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import Any

import httpx
import pytest
from django.conf import LazySettings

from scheduler.catalogue import SyncReport, sync
from scheduler.catalogue import sync as run
from scheduler.models import CATALOGUE, Access, Alias, CatalogModel, ModelOnNode, Node, Revision
from scheduler.nodes import NodeClient
from scheduler.policy import shape
from tests.conftest import FakeNode

pytestmark = pytest.mark.django_db(transaction=True)


def synced() -> SyncReport:
    return asyncio.run(run())


def held() -> dict[str, list[str]]:
    names: dict[str, list[str]] = {node.name: [] for node in Node.objects.all()}
    for copy in ModelOnNode.objects.select_related("node", "model"):
        names[copy.node.name].append(copy.model.name)
    return {node: sorted(models) for node, models in names.items()}


def add(name: str, url: str, **fields: Any) -> Node:
    return Node.objects.create(name=name, url=url, **fields)


def number() -> int:
    return Revision.objects.number(CATALOGUE)


def test_the_catalogue_is_what_the_nodes_hold(fake_node: FakeNode) -> None:
    add("a", fake_node("llama3.2=2,nomic-embed-text=0.27").url)
    add("b", fake_node("llama3.2=2,qwen3:8b=5.2").url)
    report = synced()
    assert held() == {
        "a": ["llama3.2:latest", "nomic-embed-text:latest"],
        "b": ["llama3.2:latest", "qwen3:8b"],
    }
    assert [(node.node, node.error) for node in report.nodes] == [("a", ""), ("b", "")]
    assert (report.drift, report.moved) == ({}, True)
    embed = CatalogModel.objects.get(name="nomic-embed-text:latest")
    assert (embed.capabilities, embed.trained_ctx, embed.is_embedding_only) == (["embedding"], 2048, True)
    llama = CatalogModel.objects.get(name="llama3.2:latest")
    assert (llama.family, llama.parameter_size, llama.quantization) == ("llama", "3.2B", "Q4_K_M")
    assert llama.size_bytes == 2_000_000_000
    assert {node.version for node in Node.objects.all()} == {"0.32.15"}
    assert {node.state for node in Node.objects.all()} == {"up"}


def test_a_second_look_writes_nothing_and_asks_for_no_digest_again(fake_node: FakeNode) -> None:
    server = fake_node("llama3.2=2,lfm2=1.2")
    add("a", server.url)
    synced()
    before = number()
    server.reset()
    report = synced()
    assert (report.moved, number()) == (False, before)
    assert "/api/show" not in str(server.report()["http"]["routes"])


def test_a_node_that_joins_later_is_not_asked_for_digests_that_are_known(fake_node: FakeNode) -> None:
    add("a", fake_node("llama3.2=2").url)
    synced()
    second = fake_node("llama3.2=2")
    add("b", second.url)
    synced()
    assert held()["b"] == ["llama3.2:latest"]
    assert "/api/show" not in str(second.report()["http"]["routes"])
    assert ModelOnNode.objects.get(node__name="b").capabilities == ["completion", "tools"]


def test_numbers_behind_null_arrays_are_kept_where_policy_reads_them(fake_node: FakeNode) -> None:
    add("a", fake_node("lfm2=1.2").url)
    synced()
    info = ModelOnNode.objects.get().show["model_info"]
    assert any(info["lfm2.attention.head_count_kv"])
    assert not any(key.startswith("tokenizer.") for key in info)
    assert shape.read(info).kv_full > 0


def test_a_model_pulled_and_one_deleted_on_the_node_are_followed(fake_node: FakeNode) -> None:
    server = fake_node("llama3.2=2,qwen3:8b=5.2", registry="mistral=4", pull_gbps=1000)
    add("a", server.url)
    synced()
    httpx.post(f"{server.url}/api/pull", json={"model": "mistral", "stream": False}).raise_for_status()
    httpx.request("DELETE", f"{server.url}/api/delete", json={"model": "qwen3:8b"}).raise_for_status()
    before = number()
    (node,) = synced().nodes
    assert (node.added, node.removed) == (("mistral:latest",), ("qwen3:8b",))
    assert number() > before
    assert not CatalogModel.objects.filter(name="qwen3:8b").exists()


def test_what_an_operator_decided_outlives_the_model(fake_node: FakeNode) -> None:
    server = fake_node("llama3.2=2,qwen3:8b=5.2")
    add("a", server.url)
    synced()
    CatalogModel.objects.filter(name="qwen3:8b").update(num_ctx=16384)
    httpx.request("DELETE", f"{server.url}/api/delete", json={"model": "qwen3:8b"}).raise_for_status()
    report = synced()
    assert report.forgotten == ()
    assert CatalogModel.objects.held_nowhere().get().name == "qwen3:8b"


def test_one_name_with_two_digests_is_drift(fake_node: FakeNode) -> None:
    add("a", fake_node("llama3.2=2").url)
    add("b", fake_node("llama3.2=3").url)
    add("off", fake_node("llama3.2=4").url, enabled=False)
    report = synced()
    assert list(report.drift) == ["llama3.2:latest"]
    assert set(report.drift["llama3.2:latest"]) == {"a", "b"}
    assert json.loads(json.dumps(report.as_json()))["drift"] == report.drift


def test_a_node_that_is_gone_keeps_its_models_and_is_used_again_when_back(
    fake_node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "scheduler.catalogue")
    server = fake_node("llama3.2=2")
    add("a", server.url)
    synced()
    server.kill()
    assert synced().failed == ["a"]
    synced()
    node = Node.objects.get()
    assert (held(), node.state, node.takes_work) == ({"a": ["llama3.2:latest"]}, "down", False)
    assert "/api/version" in node.last_error
    assert [r.levelname for r in caplog.records] == ["WARNING"], "a node that stays down is said once"
    fake_node("llama3.2=2", port=server.port)
    assert synced().failed == []
    assert Node.objects.get().state == "up"


def test_a_slow_node_keeps_no_other_waiting(fake_node: FakeNode) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    add("slow", f"http://127.0.0.1:{silent.getsockname()[1]}")
    add("quick", fake_node("llama3.2=2").url)

    async def until_the_first_is_there() -> None:
        first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(sync(on_node=lambda result: first.set_result(result.node)))
        assert await asyncio.wait_for(first, 30) == "quick"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with silent:
        asyncio.run(until_the_first_is_there())
    assert held() == {"quick": ["llama3.2:latest"], "slow": []}


def test_a_show_that_fails_is_named_and_asked_again(fake_node: FakeNode) -> None:
    server = fake_node("llama3.2=2")
    add("a", server.url)

    def connect(name: str, url: str, access: Access) -> NodeClient:
        return NodeClient(name, url, access, transport=WithoutShow())

    (node,) = asyncio.run(sync(connect=connect)).nodes
    assert node.problems == ("llama3.2:latest: unable to read the file",)
    assert held() == {"a": ["llama3.2:latest"]}
    (node,) = synced().nodes
    assert (node.problems, node.changed) == ((), ("llama3.2:latest",))
    assert CatalogModel.objects.get().trained_ctx == 131072


class WithoutShow(httpx.AsyncBaseTransport):
    """The node, but its /api/show fails."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/show":
            return httpx.Response(500, json={"error": "unable to read the file"})
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_nodes_of_ollama_url_are_seeded(fake_node: FakeNode, settings: LazySettings) -> None:
    settings.OLLAMA_URLS = (fake_node("llama3.2=2").url, fake_node("qwen3:8b=5").url)
    synced()
    first, second = Node.objects.order_by("pk")
    assert (first.name, second.name) == ("127.0.0.1", f"127.0.0.1-{second.url.rpartition(':')[2]}")
    assert held() == {first.name: ["llama3.2:latest"], second.name: ["qwen3:8b"]}


def test_an_alias_that_a_new_model_hides_is_reported(fake_node: FakeNode) -> None:
    add("a", fake_node("llama3.2=2").url)
    Alias.objects.create(name="llama3.2:latest", model="elsewhere:latest")
    assert synced().shadowed == ("llama3.2:latest",)


def test_what_runs_is_in_the_report(fake_node: FakeNode) -> None:
    server = fake_node("llama3.2=2")
    add("a", server.url)
    httpx.post(f"{server.url}/api/generate", json={"model": "llama3.2"}).raise_for_status()
    (node,) = synced().nodes
    assert node.running is not None
    assert [running.name for running in node.running] == ["llama3.2:latest"]


def test_a_node_before_0_30_is_read_as_well(fake_node: FakeNode) -> None:
    add("a", fake_node("llama3.2=2", ollama_version="0.9.6").url)
    synced()
    assert CatalogModel.objects.get().capabilities == ["completion", "tools"]


def test_a_node_removed_during_the_look_gets_no_rows(fake_node: FakeNode) -> None:
    node = add("a", fake_node("llama3.2=2").url)
    Node.objects.all().delete()
    report = asyncio.run(sync([node]))
    assert report.failed == ["a"]
    assert not ModelOnNode.objects.exists()

"""The client against a simulated node in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from scheduler.nodes import ModelMissing, NodeClient, NodeDown, NodeTimeout, OutOfMemory
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode

pytestmark = pytest.mark.asyncio

PROFILE: dict[str, Any] = {"options": {"num_ctx": 8192}, "keep_alive": -1, "deadline_s": 10.0}


@pytest.fixture
def node(fake_node: FakeNode) -> NodeProcess:
    return fake_node("llama3.2=2,qwen3:8b=5.2,nomic-embed-text=0.27,lfm2=1.2", vram_gib=24)


@pytest_asyncio.fixture
async def client(node: NodeProcess) -> AsyncIterator[NodeClient]:
    client = NodeClient("a", node.url)
    yield client
    await client.aclose()


async def names(client: NodeClient) -> list[str]:
    return sorted(running.name for running in await client.ps())


async def test_a_loaded_model_is_there_with_its_profile_and_stays(client: NodeClient) -> None:
    loaded = await client.load("llama3.2", **PROFILE)
    (running,) = await client.ps()
    assert (running.name, running.num_ctx, running.spilled_bytes) == ("llama3.2:latest", 8192, 0)
    assert running.size_vram > 2_000_000_000
    assert running.expires_at is not None
    assert running.expires_at.year > 2200
    assert loaded.seconds > 0


async def test_a_probe_with_the_same_profile_reloads_nothing(client: NodeClient, node: NodeProcess) -> None:
    await client.load("llama3.2", **PROFILE)
    await client.probe("llama3.2", **PROFILE)
    await client.probe("llama3.2", **PROFILE)
    report = node.report()
    assert (len(report["loads"]), len(report["reloads"])) == (1, 0)
    (running,) = await client.ps()
    assert running.expires_at is not None
    assert running.expires_at.year > 2200, "the probe did not undo keep_alive"


async def test_an_embedding_model_is_loaded_probed_and_unloaded(client: NodeClient) -> None:
    await client.load("nomic-embed-text", **PROFILE, embedding=True)
    assert await names(client) == ["nomic-embed-text:latest"]
    await client.probe("nomic-embed-text", **PROFILE, embedding=True)
    await client.unload("nomic-embed-text:latest", deadline_s=10)
    assert await names(client) == []


async def test_an_embedding_model_that_was_not_known_as_one_is_loaded(client: NodeClient) -> None:
    await client.load("nomic-embed-text", **PROFILE)
    assert await names(client) == ["nomic-embed-text:latest"]


async def test_an_unload_is_over_when_the_model_is_gone(client: NodeClient) -> None:
    await client.load("llama3.2", **PROFILE)
    await client.load("qwen3:8b", **PROFILE)
    await client.unload("llama3.2:latest", deadline_s=10)
    assert await names(client) == ["qwen3:8b"]


async def test_an_unload_that_sticks_is_a_timeout(client: NodeClient, node: NodeProcess) -> None:
    await client.load("llama3.2", **PROFILE)
    node.arm("stuck_stopping")
    with pytest.raises(NodeTimeout, match="still loaded"):
        await client.unload("llama3.2:latest", deadline_s=0.3)


async def test_a_load_out_of_memory_is_told_as_such(client: NodeClient, node: NodeProcess) -> None:
    node.arm("oom_at_load", count=2)
    with pytest.raises(OutOfMemory):
        await client.load("llama3.2", **PROFILE)


async def test_a_load_that_hangs_ends_at_its_deadline_while_the_rest_answers(
    client: NodeClient, node: NodeProcess
) -> None:
    node.arm("wedge")
    load = asyncio.create_task(client.load("llama3.2", **PROFILE | {"deadline_s": 0.5}))
    assert len(await client.tags()) == 4
    with pytest.raises(NodeTimeout):
        await load


async def test_a_runner_that_hangs_fails_its_probe(client: NodeClient, node: NodeProcess) -> None:
    await client.load("llama3.2", **PROFILE)
    node.arm("hang", after=0)
    with pytest.raises(NodeTimeout):
        await client.probe("llama3.2", **PROFILE | {"deadline_s": 0.3})


async def test_a_model_that_is_not_there_is_missing(client: NodeClient) -> None:
    for call in (client.load("gone", **PROFILE), client.unload("gone", deadline_s=1)):
        with pytest.raises(ModelMissing):
            await call
    with pytest.raises(ModelMissing):
        await client.show("gone")


async def test_show_of_a_model_with_heads_per_layer_has_them(client: NodeClient, node: NodeProcess) -> None:
    shown = await client.show("lfm2")
    heads = shown.model_info["lfm2.attention.head_count_kv"]
    assert isinstance(heads, list)
    assert len(heads) == shown.model_info["lfm2.block_count"]


async def test_a_node_that_dies_is_down_and_one_that_comes_back_is_used(
    client: NodeClient, node: NodeProcess, fake_node: FakeNode
) -> None:
    assert await client.version() == "0.32.15"
    node.kill()
    with pytest.raises(NodeDown):
        await client.version()
    fake_node("llama3.2=2", port=node.port)
    assert [tag.name for tag in await client.tags()] == ["llama3.2:latest"]


async def test_an_old_node_is_understood(fake_node: FakeNode) -> None:
    client = NodeClient("old", fake_node("llama3.2=2", ollama_version="0.9.6").url)
    await client.load("llama3.2", **PROFILE)
    (running,) = await client.ps()
    assert running.num_ctx is None
    assert (await client.show("llama3.2")).trained_ctx == 131072
    await client.unload("llama3.2:latest", deadline_s=10)
    await client.aclose()

"""Nodes that fail in each way they can, under traffic, before a real bridge."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.chaos.conftest import MakeFleet
from tests.conftest import FakeNode

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]


async def test_a_load_that_runs_out_of_memory_is_refused_and_warm_traffic_goes_on(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    node = fake_node("warm=4,big=4", vram_gib=24, slots=2)
    world = fleet({"n1": node})
    async with world.client() as client:
        assert await client.ask("warm") == "answered"
        node.arm("oom_at_load", model="big")
        assert await client.ask("big") == "503"
        assert "did not fit into the memory of n1" in world.answers.texts[-1]
        assert await client.ask("warm") == "answered"
        node.disarm()
        until = time.monotonic() + 40
        while await client.ask("big") != "answered":
            assert time.monotonic() < until, world.answers
            await asyncio.sleep(0.5)
    outcomes = [outcome for model, outcome in world.ledger("model", "outcome") if model == "big:latest"]
    assert outcomes[:2] == ["out_of_memory", "out_of_memory"]


async def test_out_of_memory_while_running_is_seen_and_recovered_from(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    node = fake_node("a=4,b=4", vram_gib=24, slots=2)
    world = fleet({"n1": node})
    async with world.client() as client:
        assert [await client.ask(m) for m in ("a", "b")] == ["answered", "answered"]
        node.arm("oom_running", model="a", count=1)
        assert await client.ask("a", tokens=8) == "error"
        kinds = await asyncio.gather(*(client.ask(m) for m in "abab"))
    assert kinds == ["answered"] * 4
    assert {r["model"] for r in node.state()["residents"]} == {"a:latest", "b:latest"}
    assert node.report()["loads_total"] <= 4, "each model comes back once"


async def test_a_node_killed_during_a_load_comes_back_and_is_used_within_seconds(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    node = fake_node("a=4", vram_gib=24, slots=2, load_fixed=2.0)
    world = fleet({"n1": node})
    async with world.client() as client:
        waiting = asyncio.create_task(client.ask("a"))
        while not node.state()["loading"]:
            await asyncio.sleep(0.02)
        node.kill()
        first = await waiting
        assert first in ("503", "error")
        again = fake_node("a=4", vram_gib=24, slots=2, port=node.port)
        began = time.monotonic()
        while await client.ask("a") != "answered":
            assert time.monotonic() - began < 10, world.answers
            await asyncio.sleep(0.1)
    assert again.report()["loads_total"] == 1


async def test_with_one_node_of_two_dead_all_go_to_the_other(fake_node: FakeNode, fleet: MakeFleet) -> None:
    nodes = {name: fake_node("a=4,b=4", vram_gib=24, slots=2, tps=100) for name in ("n1", "n2")}
    world = fleet(nodes)
    async with world.client() as client:

        async def app(model: str) -> None:
            for _ in range(10):
                await client.ask(model, tokens=10)

        apps = [asyncio.create_task(app(model)) for model in "abab"]
        await asyncio.sleep(0.5)
        nodes["n1"].kill()
        await asyncio.gather(*apps)
        kinds = [await client.ask(model) for model in "abab"]
    assert kinds == ["answered"] * 4
    lost = world.answers.count("error") + world.answers.count("cut") + world.answers.count("503")
    assert lost <= 4, "only what had begun on the dead node is lost, and visibly"
    assert sum(world.answers.seen.values()) == 44, "each request ended in exactly one way"


async def test_loads_that_hang_are_rerouted_and_hot_models_go_on(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    nodes = {name: fake_node("a=0.1,b=0.1", vram_gib=24, slots=2) for name in ("n1", "n2")}
    world = fleet(nodes, BRIDGE_LOAD_TIMEOUT="2s")
    async with world.client() as client:
        assert await client.ask("a") == "answered"
        hot = next(name for name, node in nodes.items() if node.state()["residents"])
        other = "n2" if hot == "n1" else "n1"
        nodes[other].arm("wedge")
        cold = asyncio.create_task(client.ask("b"))
        while not cold.done():
            assert await client.ask("a") == "answered"
            await asyncio.sleep(0.2)
        assert await cold == "answered"
    kinds = world.ledger("kind", "node")
    assert ("quarantine", other) in kinds
    assert ("load", hot) in kinds

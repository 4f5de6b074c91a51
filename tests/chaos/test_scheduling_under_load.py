"""Many clients, few bytes of VRAM: what the scheduler promises, measured at the clients and at the node."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.chaos.conftest import MakeFleet
from tests.conftest import FakeNode

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]


async def test_five_models_thrash_into_room_for_two(fake_node: FakeNode, fleet: MakeFleet) -> None:
    names = ["a", "b", "c", "d", "e"]
    node = fake_node(",".join(f"{name}=4" for name in names), vram_gib=18, slots=2, tps=100)
    world = fleet({"n1": node})
    dice = random.Random(7)
    async with world.client() as client:

        async def app() -> None:
            for _ in range(6):
                await client.ask(dice.choice(names), tokens=dice.randrange(1, 20))

        await asyncio.gather(*(app() for _ in range(10)))
    assert world.answers.count("answered") == 60, world.answers
    world.untouched()
    report = node.report()
    assert max(report["peak_in_flight"].values()) <= 2
    assert max(report["peak_waiting"].values(), default=0) == 0, "the node never queues"
    assert report["loads_total"] - report["unloads_total"] == len(node.state()["residents"]) <= 2
    assert report["loads_total"] < 60, "requests of one model are served together"
    assert max(world.answers.waits_s) < 60
    world.bridge.until(lambda: len(world.bridge.records()) == 60)


async def test_two_hundred_clients_leave_during_a_load(fake_node: FakeNode, fleet: MakeFleet) -> None:
    node = fake_node("a=4", vram_gib=24, slots=4, load_fixed=3.0)
    world = fleet({"n1": node}, slots=4, BRIDGE_QUEUE_LIMIT_MODEL="400")
    async with world.client() as client:
        await asyncio.gather(*(client.leave("a", 1.0) for _ in range(200)))
        kinds = await asyncio.gather(*(client.ask("a") for _ in range(8)))
    assert set(kinds) == {"answered"}, "no seat is held by those who left"
    world.untouched()
    assert node.report()["loads_total"] == 1


async def test_contexts_that_alternate_cause_no_reload_beyond_the_planned_one(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    node = fake_node("a=4@131072", vram_gib=48, slots=2, tps=200)
    world = fleet({"n1": node})
    async with world.client() as client:
        for num_ctx in (2048, 12000, None, 4096, 16000, 12000, 2048):
            assert await client.ask("a", num_ctx=num_ctx) == "answered"
    world.untouched()
    report = node.report()
    assert (report["loads_total"], report["unloads_total"]) == (2, 1), "8192, then 16384, and no more"
    assert [kind for (kind,) in world.ledger("kind")].count("reload") == 1


async def test_a_filled_queue_refuses_the_rest_at_once_and_serves_whom_it_took(
    fake_node: FakeNode, fleet: MakeFleet
) -> None:
    node = fake_node("a=4", vram_gib=24, slots=2, load_fixed=1.0)
    world = fleet({"n1": node}, BRIDGE_QUEUE_LIMIT_MODEL="20")
    async with world.client() as client:
        kinds = Counter(await asyncio.gather(*(client.ask("a") for _ in range(60))))
    assert set(kinds) == {"answered", "503"}
    assert 16 <= kinds["answered"] <= 20 + 2, "as many as the line takes, and the slots"
    assert all("places for a:latest" in text for text in world.answers.texts), world.answers.texts[0]
    assert {1 <= int(after) <= 60 for after in world.answers.retry_after} == {True}
    world.untouched()
    world.bridge.until(lambda: len(world.bridge.records()) == 60)
    assert Counter(record["outcome"] for record in world.bridge.records()) == {
        "answered": kinds["answered"],
        "refused": kinds["503"],
    }
    assert node.report()["http"]["routes"]["POST /api/chat"] == kinds["answered"]

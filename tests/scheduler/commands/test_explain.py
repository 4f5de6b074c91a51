"""`explain` looks at real nodes and needs no scheduler."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from django.conf import LazySettings
from django.core.management import CommandError

from scheduler import catalogue
from scheduler.board.interface import Resident, Seat
from scheduler.board.redis import RedisBoard
from scheduler.models import CatalogModel, Node
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.board.server import BINARY, RedisServer
from tests.scheduler.commands.conftest import Manage
from tests.scheduler.worker.cast import ticket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node(fake_node: FakeNode, transactional_db: None) -> NodeProcess:
    node = fake_node("small=2,other=4,third=6,huge=40", vram_gib=12)
    Node.objects.create(name="n1", url=node.url, vram_bytes=12 * 2**30)
    asyncio.run(catalogue.sync())
    CatalogModel.objects.filter(name="huge:latest").update(on_spill="refuse")
    return node


def load(node: NodeProcess, model: str) -> None:
    body = {"model": model, "options": {"num_ctx": 8192}, "keep_alive": -1}
    httpx.post(f"{node.url}/api/generate", json=body, timeout=10, trust_env=False).raise_for_status()


def test_one_that_fits(node: NodeProcess, manage: Manage) -> None:
    said = manage("explain", "small")
    assert "small:latest would be loaded on n1 with 8192 tokens of context; nothing has to go." in said
    assert "n1\t12.0 GiB\t12.0 GiB" in said
    assert node.report()["loads_total"] == 0


def test_one_that_is_loaded(node: NodeProcess, manage: Manage) -> None:
    load(node, "small")
    assert manage("explain", "small").startswith("small:latest is loaded on n1.")


def test_one_that_was_prefetched(node: NodeProcess, manage: Manage) -> None:
    load(node, "small")
    resident = {"model": "small:latest", "cause": "prefetch", "used": False}
    Node.objects.update(scene={"residents": [resident]})
    assert "It was prefetched, and nobody came yet." in manage("explain", "small")


def test_one_that_needs_an_eviction(node: NodeProcess, manage: Manage) -> None:
    load(node, "other")
    found = json.loads(manage("explain", "third", "--json"))
    assert (found["verdict"], found["node"], found["goes"]) == ("evict", "n1", ["other:latest"])
    assert found["nodes"][0]["said"].startswith("It fits when other:latest goes.")


def test_one_that_can_never_fit(node: NodeProcess, manage: Manage) -> None:
    with pytest.raises(CommandError, match=r"huge:latest needs .* GB"):
        manage("explain", "huge")


def test_in_a_fleet_it_knows_what_is_in_flight(
    node: NodeProcess, manage: Manage, settings: LazySettings
) -> None:
    if BINARY is None:
        pytest.skip("no redis-server on this machine")
    load(node, "small")
    server = RedisServer()
    try:
        asyncio.run(take_a_seat(server.url))
        settings.REDIS_URL = server.url
        assert "Loaded with 8192 tokens, 1 of 1 slots taken." in manage("explain", "small")
    finally:
        server.close()


async def take_a_seat(url: str) -> None:
    board = RedisBoard(url)
    epoch = await board.lead("scheduler")
    assert epoch is not None
    small = Resident(node="n1", model="small:latest", num_ctx=8192, slots=1)
    await board.publish([small], loadable={}, epoch=epoch)
    assert isinstance(await board.admit(ticket("small:latest")), Seat)
    await board.aclose()


def test_a_node_that_does_not_answer_is_named(node: NodeProcess, manage: Manage) -> None:
    node.kill()
    with pytest.raises(CommandError, match="No node that answers has small:latest"):
        manage("explain", "small")


def test_a_name_that_is_none_is_bad_input(node: NodeProcess, manage: Manage) -> None:
    with pytest.raises(CommandError) as caught:
        manage("explain", "no name!")
    assert caught.value.returncode == 2

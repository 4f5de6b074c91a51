"""The worker on the board of a fleet: Redis is paused, emptied and killed, and leaders vanish."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio

from scheduler.board.interface import BoardDown, Seat
from scheduler.board.redis import RedisBoard
from scheduler.policy.config import Config
from scheduler.residency.pace import Pace
from scheduler.worker import Worker
from tests.conftest import FakeNode
from tests.scheduler.board.server import BINARY, RedisServer
from tests.scheduler.worker.cast import (
    QUICK,
    QUICKLY,
    Notes,
    Table,
    eventually,
    loadable,
    seated,
    served,
    survey,
)

pytestmark = pytest.mark.asyncio


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    if BINARY is None and not os.environ.get("CI"):
        pytest.skip("no redis-server on this machine")
    server = RedisServer()
    yield server
    server.close()


class Fleet:
    """Bridges and schedulers on one Redis, each with a connection of its own."""

    def __init__(self, redis: RedisServer, stack: AsyncExitStack) -> None:
        self._redis = redis
        self._stack = stack
        self._namespace = uuid.uuid4().hex

    async def board(self) -> RedisBoard:
        board = RedisBoard(self._redis.url, namespace=self._namespace)
        self._stack.push_async_callback(board.aclose)
        return board

    async def worker(self, table: Table, pace: Pace = QUICK, config: Config = QUICKLY) -> Worker:
        worker = Worker(await self.board(), source=table, recorder=Notes(), pace=pace, config=config)
        await worker.start()
        self._stack.push_async_callback(worker.stop)
        return worker


async def vanish(worker: Worker) -> None:
    """As kill -9 does: nothing is handed over."""
    assert worker._supervisor is not None
    worker.actions.cancel()
    await worker._supervisor.stop()
    worker.lead.epoch = worker.lead._held = None  # so that the test's own `stop` resigns nothing


@pytest_asyncio.fixture
async def fleet(redis: RedisServer) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        yield Fleet(redis, stack)


async def test_a_cold_request_of_a_bridge_is_served(fake_node: FakeNode, fleet: Fleet) -> None:
    node = fake_node("a=2", slots=4, load_fixed=0.3)
    worker = await fleet.worker(Table(survey({"n1": node}, slots=4)))
    await asyncio.wait_for(worker.settled.wait(), 10)
    bridges = [await fleet.board() for _ in range(2)]
    seats = await asyncio.gather(*(served(bridge, "a:latest") for bridge in bridges for _ in range(10)))
    loads = {seat.load for seat in seats}
    assert "cold" in loads
    assert loads <= {"cold", "warm"}, "some may come when it is loaded already"
    assert node.report()["loads_total"] == 1


async def test_a_leader_that_vanishes_is_replaced_within_five_seconds(
    fake_node: FakeNode, fleet: Fleet
) -> None:
    node = fake_node("a=2,b=2", slots=2)
    table, usual = Table(survey({"n1": node})), Pace(recovery_s=0.05)
    first = await fleet.worker(table, usual)
    await asyncio.wait_for(first.settled.wait(), 10)
    second, bridge = await fleet.worker(table, usual), await fleet.board()
    await served(bridge, "a:latest")
    assert second.lead.epoch is None
    await vanish(first)
    began = time.monotonic()
    assert (await served(bridge, "a:latest")).load == "warm", "warm traffic does not need a leader"
    assert (await served(bridge, "b:latest")).load == "cold"
    assert time.monotonic() - began < 5
    assert node.report()["loads_total"] == 2


async def test_redis_that_lost_everything_is_filled_from_the_nodes(
    fake_node: FakeNode, redis: RedisServer, fleet: Fleet
) -> None:
    node = fake_node("a=2,b=2", slots=2)
    worker = await fleet.worker(Table(survey({"n1": node})))
    await asyncio.wait_for(worker.settled.wait(), 10)
    bridge = await fleet.board()
    await served(bridge, "a:latest")
    redis.say("FLUSHALL")
    began = time.monotonic()
    await eventually(lambda: listed(bridge), 5)
    assert time.monotonic() - began < 3
    assert (await served(bridge, "a:latest")).load == "warm"
    await eventually(lambda: loadable(bridge, "b:latest"), 3)  # once the leader has said that it lives
    report = node.report()
    assert (report["loads_total"], report["unloads_total"]) == (2, 0)


async def listed(board: RedisBoard) -> list[str]:
    try:
        return [r.model for r in await board.residents()]
    except BoardDown:
        return []


@pytest.mark.parametrize("how", ["paused", "killed"])
async def test_redis_that_was_away_costs_no_load_and_no_resident(
    fake_node: FakeNode, redis: RedisServer, fleet: Fleet, how: str
) -> None:
    node = fake_node("a=2,b=2", slots=2, load_fixed=1.0)
    worker = await fleet.worker(Table(survey({"n1": node})))
    await asyncio.wait_for(worker.settled.wait(), 10)
    bridge = await fleet.board()
    await served(bridge, "a:latest")
    waiting = asyncio.create_task(seated(bridge, "b:latest"))
    await eventually(lambda: node.state()["loading"])
    if how == "paused":
        redis.pause()
    else:
        redis.kill()
    await eventually(lambda: len(node.state()["residents"]) == 2, 5)
    await eventually(lambda: worker.lead.epoch is None, 5)
    if how == "paused":
        redis.resume()
    else:
        redis.restart()
    await eventually(lambda: worker.lead.epoch is not None, 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await eventually(lambda: both(bridge), 10)
    assert (await served(bridge, "b:latest")).load == "warm"
    report = node.report()
    assert (report["loads_total"], report["unloads_total"], report["aborted_loads_total"]) == (2, 0, 0)


async def both(board: RedisBoard) -> bool:
    return set(await listed(board)) == {"a:latest", "b:latest"}


async def test_a_standby_takes_nothing_from_a_leader_that_lives(fake_node: FakeNode, fleet: Fleet) -> None:
    table = Table(survey({"n1": fake_node("a=2")}))
    first = await fleet.worker(table)
    await asyncio.wait_for(first.settled.wait(), 10)
    second = await fleet.worker(table, replace(QUICK, standby_s=0.01))
    await eventually(lambda: second.lead.stands_by)
    epoch = first.lead.epoch
    bridge = await fleet.board()
    assert isinstance(await served(bridge, "a:latest"), Seat)
    assert (first.lead.epoch, second.lead.epoch) == (epoch, None)


async def test_what_an_app_says_at_one_bridge_reaches_the_leader(
    redis: RedisServer, fake_node: FakeNode
) -> None:
    table = Table(survey({"n1": fake_node("a=2,b=2", vram_gib=24)}))
    async with AsyncExitStack() as stack:
        fleet = Fleet(redis, stack)
        bridge = await fleet.board()
        worker = await fleet.worker(table, config=replace(QUICKLY, prefetch="value"))
        await asyncio.wait_for(worker.settled.wait(), 10)
        seat = await served(bridge, "a:latest", session="s1", next_models=("b:latest",))
        assert seat.load == "cold"

        async def said_again() -> bool:
            await served(bridge, "a:latest", session="s1", next_models=("b:latest",))
            return await prefetched(bridge, "b:latest")

        await eventually(said_again)
        assert (await served(bridge, "b:latest", session="s1")).load == "prefetched"


async def prefetched(board: RedisBoard, model: str) -> bool:
    return any(each.model == model and each.cause == "prefetch" for each in await board.residents())

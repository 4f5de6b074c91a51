"""Redis goes away and comes back under a bridge: warm traffic goes on, nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from scheduler.board.fallback import FallbackBoard
from scheduler.board.interface import Board, BoardDown, Budget, Limits, Refusal, Seat
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import (
    got_seat,
    publish,
    refused,
    resident,
    seated,
    still_waits,
    ticket,
    waiting,
)
from tests.scheduler.board.server import RedisServer

pytestmark = pytest.mark.asyncio
FAR = time.time() + 3600.0
DAILY = Budget(period="day", tokens=1000, start=1_700_000_000.0, end=FAR)
BUDGETED = Limits(budgets=(DAILY,))


@pytest.fixture
def namespace() -> str:
    return uuid.uuid4().hex


@pytest_asyncio.fixture
async def bridge(own_redis: RedisServer, namespace: str) -> AsyncIterator[FallbackBoard]:
    board = FallbackBoard(RedisBoard(own_redis.url, namespace=namespace, timeout_s=0.3))
    yield board
    await board.aclose()


@pytest_asyncio.fixture
async def scheduler(own_redis: RedisServer, namespace: str) -> AsyncIterator[RedisBoard]:
    board = RedisBoard(own_redis.url, namespace=namespace, timeout_s=0.3)
    yield board
    await board.aclose()


async def lose(redis: RedisServer, bridge: FallbackBoard) -> None:
    """Redis stops, and the bridge has noticed."""
    redis.pause()
    await bridge.renew("bridge-1")
    assert bridge.degraded


async def find_again(redis: RedisServer, *boards: FallbackBoard | RedisBoard) -> None:
    """Redis goes on, and all have noticed."""
    redis.resume()
    async with asyncio.timeout(10.0):
        for board in boards:
            while board.degraded if isinstance(board, FallbackBoard) else board.down:
                await asyncio.sleep(0.01)


async def in_flight(board: Board) -> list[int]:
    return [load.in_flight for load in await board.loads()]


async def test_warm_requests_are_served_and_cold_ones_refused_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=2), loadable={"m": None, "cold": 3.0})
    await bridge.renew("bridge-1")
    await lose(own_redis, bridge)
    assert (await seated(bridge, ticket(deadline=FAR))).node == "n1"
    assert (await refused(bridge, ticket(model="cold", deadline=FAR))).reason == "no_scheduler"
    assert [each.model for each in await bridge.residents()] == ["m"]


async def test_slots_are_kept_and_shared_with_the_other_bridges_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=4))
    await scheduler.renew("bridge-2")
    running = ticket(deadline=FAR)
    await bridge.renew("bridge-1")
    await seated(bridge, running)
    await bridge.renew("bridge-1")
    await lose(own_redis, bridge)
    await seated(bridge, ticket(deadline=FAR))  # two of four slots are this bridge's
    queued = ticket(deadline=FAR)
    await waiting(bridge, queued)
    await bridge.settle(running.id, 3)
    assert (await got_seat(bridge, queued)).load == "warm"


async def test_what_was_given_while_redis_was_away_is_told_when_it_is_back(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=4))
    await bridge.renew("bridge-1")
    before, after = ticket(deadline=FAR), ticket(deadline=FAR)
    ended = ticket(deadline=FAR, limits=BUDGETED, tokens=600)
    await seated(bridge, before)
    await lose(own_redis, bridge)
    await seated(bridge, after)
    await seated(bridge, ended)
    await bridge.settle(ended.id, 600)
    await find_again(own_redis, bridge, scheduler)
    assert await in_flight(bridge) == [2]
    assert (await refused(bridge, ticket(deadline=FAR, limits=BUDGETED, tokens=401))).reason == "budget"
    for each in (before, after):
        await bridge.settle(each.id, 5)
    assert await in_flight(bridge) == [0]
    assert await bridge.renew("bridge-1") is False  # the records seed the budgets anew
    assert await bridge.renew("bridge-1") is True


async def test_who_waits_for_a_slot_goes_on_waiting_there_and_back(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=1))
    await bridge.renew("bridge-1")
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
    await seated(bridge, running)
    await waiting(bridge, queued)
    waiter = asyncio.create_task(bridge.wait(queued.id, 60.0))
    await lose(own_redis, bridge)
    assert await still_waits(bridge, queued)
    await find_again(own_redis, bridge, scheduler)
    assert [line.waiting for line in await scheduler.demand()] == [1]
    assert not waiter.done()
    await bridge.settle(running.id, 5)
    async with asyncio.timeout(5.0):
        assert isinstance(await waiter, Seat)
    await bridge.settle(queued.id, 5)
    assert await in_flight(scheduler) == [0]


async def test_who_waits_for_a_slot_gets_it_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=1))
    await bridge.renew("bridge-1")
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
    await seated(bridge, running)
    await waiting(bridge, queued)
    waiter = asyncio.create_task(bridge.wait(queued.id, 60.0))
    await lose(own_redis, bridge)
    await bridge.settle(running.id, 5)
    async with asyncio.timeout(5.0):
        assert isinstance(await waiter, Seat)
    await find_again(own_redis, bridge, scheduler)
    assert await in_flight(scheduler) == [1]


async def test_who_waits_for_a_load_is_refused_when_redis_goes_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler)
    await bridge.renew("bridge-1")
    cold = ticket(deadline=FAR)
    await waiting(bridge, cold)
    waiter = asyncio.create_task(bridge.wait(cold.id, 60.0))
    await lose(own_redis, bridge)
    outcome = await waiter
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "no_scheduler"
    await find_again(own_redis, bridge, scheduler)
    assert await scheduler.demand() == []


async def test_a_budget_goes_on_from_what_is_known_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=4))
    await bridge.renew("bridge-1")
    await bridge.spent("ann", DAILY, 700)
    await lose(own_redis, bridge)
    assert (await refused(bridge, ticket(deadline=FAR, limits=BUDGETED, tokens=301))).reason == "budget"
    await seated(bridge, ticket(deadline=FAR, limits=BUDGETED, tokens=300))


async def test_limits_hold_within_the_process_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=9))
    await bridge.renew("bridge-1")
    limits = Limits(requests_per_minute=50, parallel=2)
    await seated(bridge, ticket(deadline=FAR, limits=limits))
    await lose(own_redis, bridge)
    await seated(bridge, ticket(deadline=FAR, limits=limits))
    assert (await refused(bridge, ticket(deadline=FAR, limits=limits))).reason == "parallel"


async def test_a_seat_that_failed_moves_while_redis_is_away(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident("n1"), resident("n2"))
    await bridge.renew("bridge-1")
    failed = ticket(deadline=FAR, prefer="n1")
    await seated(bridge, failed)
    await lose(own_redis, bridge)
    moved = await bridge.move(ticket(id=failed.id, deadline=FAR, avoid=frozenset({"n1"})))
    assert isinstance(moved, Seat)
    assert moved.node == "n2"
    await find_again(own_redis, bridge, scheduler)
    loads = {load.node: load.in_flight for load in await scheduler.loads()}
    assert loads == {"n1": 0, "n2": 1}


async def test_requests_under_way_when_redis_stops_are_served_after_one_short_wait(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=50))
    await bridge.renew("bridge-1")
    own_redis.pause()
    began = time.monotonic()
    answers = await asyncio.gather(*(bridge.admit(ticket(deadline=FAR)) for _ in range(20)))
    assert all(isinstance(answer, Seat) for answer in answers)
    assert time.monotonic() - began < 1.5
    await find_again(own_redis, bridge, scheduler)
    assert await in_flight(scheduler) == [20]


async def test_a_killed_redis_that_comes_back_empty_is_filled_again(
    bridge: FallbackBoard, scheduler: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(scheduler, resident(slots=4))
    await bridge.renew("bridge-1")
    running = ticket(deadline=FAR)
    await seated(bridge, running)
    own_redis.kill()
    await bridge.renew("bridge-1")
    assert bridge.degraded
    await seated(bridge, ticket(deadline=FAR))
    with pytest.raises(BoardDown):
        await scheduler.lead("scheduler-1")
    own_redis.restart()
    await find_again(own_redis, bridge, scheduler)
    await publish(scheduler, resident(slots=4))
    assert await in_flight(scheduler) == [2]


async def test_a_bridge_that_starts_without_redis_says_that_nothing_is_loaded(
    bridge: FallbackBoard, own_redis: RedisServer
) -> None:
    own_redis.kill()
    assert (await refused(bridge, ticket(deadline=FAR))).reason == "no_scheduler"
    assert bridge.degraded


async def test_the_scheduler_is_told_that_redis_is_away(
    bridge: FallbackBoard, own_redis: RedisServer
) -> None:
    await lose(own_redis, bridge)
    for asked in (bridge.lead("s"), bridge.demand(), bridge.loads(), bridge.arrivals(), bridge.resign("s")):
        with pytest.raises(BoardDown):
            await asked
    with pytest.raises(BoardDown):
        await bridge.publish([], loadable={}, epoch=1)
    with pytest.raises(BoardDown):
        await bridge.refuse("m", "no_room", "No.")
    assert await bridge.wait_for_demand(0.01) is False

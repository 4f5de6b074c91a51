"""Two bridges at work while Redis is paused, emptied, killed and restarted: nobody hangs, nothing leaks."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from scheduler.board.fallback import FallbackBoard
from scheduler.board.interface import BoardDown, Budget, Limits, Refusal, Seat
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import publish, resident, ticket
from tests.scheduler.board.server import RedisServer

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]
FAR = time.time() + 3600.0
BUDGET = Budget(period="day", tokens=10**9, start=1_700_000_000.0, end=FAR)
LIMITS = Limits(parallel=1000, budgets=(BUDGET,))
SLOTS = 4


class Storm:
    """Bridges, their requests and the scheduler that publishes beside them."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        namespace = uuid.uuid4().hex
        self.bridges = [
            FallbackBoard(RedisBoard(server.url, namespace=namespace, timeout_s=0.2)) for _ in range(2)
        ]
        self.scheduler = RedisBoard(server.url, namespace=namespace, timeout_s=0.2)
        self.over = asyncio.Event()
        self.outcomes: Counter[str] = Counter()

    async def request(self, board: FallbackBoard, holder: str) -> None:
        asked = ticket("ann", holder=holder, deadline=time.time() + 20.0, limits=LIMITS)
        step = await board.admit(asked)
        async with asyncio.timeout(30.0):
            while not isinstance(step, (Seat, Refusal)):
                step = await board.wait(asked.id, 5.0) or step
        self.outcomes[step.load if isinstance(step, Seat) else step.reason] += 1
        if isinstance(step, Seat):
            await asyncio.sleep(0.002)
            await board.settle(asked.id, 7)
        else:
            await asyncio.sleep(0.01)

    async def client(self, board: FallbackBoard, holder: str) -> None:
        while not self.over.is_set():
            await self.request(board, holder)

    async def every(self, seconds: float, what: Callable[[], Awaitable[object]]) -> None:
        while not self.over.is_set():
            with suppress(BoardDown):
                await what()
            await asyncio.sleep(seconds)

    async def weather(self) -> None:
        await asyncio.sleep(0.5)
        self.server.pause()
        await asyncio.sleep(0.6)
        self.server.resume()
        await asyncio.sleep(0.6)
        self.server.say("FLUSHALL")
        await asyncio.sleep(0.4)
        self.server.kill()
        await asyncio.sleep(0.5)
        self.server.restart()
        await asyncio.sleep(1.0)
        self.over.set()

    async def run(self) -> None:
        async def show() -> None:
            await publish(self.scheduler, resident("n1", slots=SLOTS))

        await show()
        for number, bridge in enumerate(self.bridges):
            await bridge.renew(f"bridge-{number}")
        async with asyncio.TaskGroup() as work:
            work.create_task(self.every(0.2, show))
            for number, bridge in enumerate(self.bridges):
                holder = f"bridge-{number}"
                work.create_task(self.every(0.2, partial(bridge.renew, holder)))
                for _ in range(8):
                    work.create_task(self.client(bridge, holder))
            work.create_task(self.weather())

    async def close(self) -> None:
        for board in (*self.bridges, self.scheduler):
            await board.aclose()


async def test_a_storm_leaves_no_request_hanging_and_nothing_held(own_redis: RedisServer) -> None:
    storm = Storm(own_redis)
    try:
        await storm.run()
        for number, bridge in enumerate(storm.bridges):
            await bridge.renew(f"bridge-{number}")
            assert not bridge.degraded
        await publish(storm.scheduler, resident("n1", slots=SLOTS))
        assert [load.in_flight for load in await storm.scheduler.loads()] == [0]
        assert await storm.scheduler.demand() == []
        keys = own_redis.say("KEYS", "*")
        assert b":tickets:" not in keys
        assert b":parallel" not in keys
        (budget,) = set(re.findall(rb"ollama_bridge:\S+:budget:\S+", keys))
        reserved = own_redis.say("HGET", budget.decode(), "reserved")
        assert reserved.split(b"\r\n")[1] == b"0"
        assert storm.outcomes["warm"] > 100
        assert set(storm.outcomes) <= {"warm", "cold", "no_scheduler", "queue_full", "queue_shed"}
    finally:
        await storm.close()

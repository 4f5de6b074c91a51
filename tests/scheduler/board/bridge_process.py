"""A bridge's part of the board in its own process: `python -m tests.scheduler.board.bridge_process JSON`.

Prints one JSON object when its work is done; `hold` prints `ready` and stays until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

from scheduler.board.interface import Bounds, Budget, Limits, Refusal, Seat, Ticket
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import START

FAR = time.time() + 3600.0


class Bridge:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.holder = task["holder"]
        clock = (lambda: START) if task["work"] == "limits" else None
        bounds = Bounds(lease_s=task.get("lease_s", 5.0))
        self.board = RedisBoard(task["url"], bounds, namespace=task["namespace"], clock=clock, timeout_s=10.0)
        self.count = 0

    def ticket(self, **fields: Any) -> Ticket:
        self.count += 1
        values = {"key": self.holder, "tokens": 10, "deadline": FAR} | fields
        name = f"{self.holder}-{self.count}"
        return Ticket(id=name, holder=self.holder, model="m", num_ctx=1024, **values)

    async def seats(self) -> dict[str, Any]:
        """Take and leave seats as fast as they come; the seconds in which each was held."""
        held: list[tuple[float, float]] = []
        nodes: list[str] = []

        async def one() -> None:
            for _ in range(self.task["requests"]):
                asked = self.ticket()
                step: Any = await self.board.admit(asked)
                while not isinstance(step, Seat):
                    assert not isinstance(step, Refusal), step
                    step = await self.board.wait(asked.id, 30.0)
                since = time.monotonic()
                await asyncio.sleep(0.001)
                held.append((since, time.monotonic()))
                nodes.append(step.node)
                await self.board.settle(asked.id, 5)

        await asyncio.gather(*(one() for _ in range(self.task["at_once"])))
        return {"held": held, "nodes": nodes}

    async def limits(self) -> dict[str, Any]:
        """Ask for more than a shared key may have; what was answered, by kind of limit."""
        budget = Budget(period="day", tokens=1000, start=START, end=START + 86_400.0)
        kinds = {
            "rate": Limits(requests_per_minute=50),
            "tokens": Limits(tokens_per_minute=500),
            "parallel": Limits(parallel=20),
            "budget": Limits(budgets=(budget,)),
        }
        admitted: Counter[str] = Counter()
        for _ in range(60):
            asked = [self.ticket(key=kind, limits=limits) for kind, limits in kinds.items()]
            for each, answer in zip(asked, await asyncio.gather(*map(self.board.admit, asked)), strict=True):
                admitted[each.key] += not isinstance(answer, Refusal)
        return dict(admitted)

    async def hold(self) -> dict[str, Any]:
        """Take seats and never give them back."""
        await self.board.renew(self.holder)
        for _ in range(self.task["at_once"]):
            assert isinstance(await self.board.admit(self.ticket()), Seat)
        print("ready", flush=True)
        while True:
            await self.board.renew(self.holder)
            await asyncio.sleep(0.1)

    async def run(self) -> None:
        work = {"seats": self.seats, "limits": self.limits, "hold": self.hold}[self.task["work"]]
        print(json.dumps(await work()), flush=True)
        await self.board.aclose()


if __name__ == "__main__":
    asyncio.run(Bridge(json.loads(sys.argv[1])).run())

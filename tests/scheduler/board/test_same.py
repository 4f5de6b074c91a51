"""Both boards answer the same to the same steps: Lua and Python decide alike."""

from __future__ import annotations

import random
import uuid
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from scheduler.board.interface import Board, Bounds, Budget, Limits, Place, Refusal, Seat, Ticket
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import START, Clock, resident, ticket
from tests.scheduler.board.server import RedisServer

BOUNDS = Bounds(queue_model=10, queue_total=14)
FAR = START + 1e6
LIMITS = {
    "ann": Limits(requests_per_minute=20, tokens_per_minute=9000),
    "bob": Limits(parallel=5, budgets=(Budget(period="day", tokens=9000, start=START, end=START + 500.0),)),
    "cyd": Limits(requests_per_minute=9, parallel=8),
    "dan": Limits(),
}


def plain(value: Any) -> Any:
    """Values without the last digits of their floats."""
    if isinstance(value, float):
        return round(value, 2)
    if is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


class Pair:
    """Two boards under one clock; every step is taken on both and must give the same."""

    def __init__(self, url: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.boards: tuple[Board, Board] = (
            MemoryBoard(BOUNDS, clock=self.clock),
            RedisBoard(url, BOUNDS, namespace=uuid.uuid4().hex, clock=self.clock, timeout_s=10.0),
        )
        self.open: dict[str, Ticket] = {}
        self.waiting: set[str] = set()

    async def both(self, method: str, *args: Any, **options: Any) -> Any:
        memory, redis = [await getattr(board, method)(*args, **options) for board in self.boards]
        assert plain(memory) == plain(redis), method
        return memory

    def note(self, asked: Ticket, answer: Seat | Place | Refusal | None) -> None:
        self.waiting.discard(asked.id)
        if isinstance(answer, Refusal):
            self.open.pop(asked.id, None)
            return
        self.open[asked.id] = asked
        if not isinstance(answer, Seat):
            self.waiting.add(asked.id)

    async def admit(self) -> None:
        pick = self.random.choice
        key = pick(sorted(LIMITS))
        asked = ticket(
            key,
            model=pick(["m", "m", "e", "unknown"]),
            num_ctx=pick([1024, 1024, 8192]),
            tokens=pick([0, 50, 1500]),
            priority=pick([0, 1, 1, 2]),
            prefer=pick([None, "n1", "n2"]),
            avoid=pick([frozenset(), frozenset(), frozenset({"n1"})]),
            deadline=pick([FAR, FAR, self.clock.now + 20.0]),
            limits=LIMITS[key],
        )
        self.note(asked, await self.both("admit", asked))

    async def settle(self) -> None:
        if self.open:
            asked = self.open.pop(self.random.choice(sorted(self.open)))
            self.waiting.discard(asked.id)
            await self.both("settle", asked.id, self.random.choice([None, 0, 40, 2000]))

    async def move(self) -> None:
        seated = sorted(set(self.open) - self.waiting)
        if seated:
            asked = self.open[self.random.choice(seated)]
            values = {f.name: getattr(asked, f.name) for f in fields(asked)}
            again = Ticket(**(values | {"avoid": frozenset({"n2"})}))
            self.note(again, await self.both("move", again))

    async def publish(self) -> None:
        pick = self.random.choice
        shown = [
            resident(
                node,
                model,
                slots=pick([1, 2, 4]),
                num_ctx=pick([4096, 16384]),
                accepting=pick([True, True, False]),
                cause=pick(["demand", "prefetch"]),
                options={"num_batch": pick([256, 512])},
            )
            for node in ("n1", "n2")
            for model in ("m", "e")
            if self.random.random() < 0.7
        ]
        epochs = [await board.lead("scheduler-1") for board in self.boards]
        loadable = {"m": pick([None, 12.5]), "e": 3.0}
        for board, epoch in zip(self.boards, epochs, strict=True):
            assert epoch is not None
            await board.publish(shown, loadable=loadable, epoch=epoch)

    async def refuse(self) -> None:
        if self.random.random() < 0.2:
            await self.both("refuse", "m", "load_failed", "No luck.", num_ctx_over=4096)

    async def time(self) -> None:
        for _ in range(self.random.choice([1, 1, 2, 7])):
            self.clock.advance(1.0)
            for board in self.boards:
                await board.lead("scheduler-1")
            await self.both("renew", "bridge-1")

    async def compare(self) -> None:
        for name in sorted(self.waiting):
            if (answer := await self.both("wait", name, 0.0)) is not None:
                self.note(self.open[name], answer)
            else:
                await self.both("position", name)
        assert plain(await self.boards[0].demand()) == plain(await self.boards[1].demand())
        for method in ("loads", "residents"):
            shown = [await getattr(board, method)() for board in self.boards]
            memory, redis = [sorted(plain(each), key=lambda v: (v["node"], v["model"])) for each in shown]
            assert memory == redis, method

    async def run(self, steps: int) -> None:
        await self.publish()
        moves = [self.admit, self.admit, self.admit, self.settle, self.settle, self.move, self.publish]
        for _ in range(steps):
            await self.random.choice([*moves, self.refuse, self.time])()
            await self.compare()
        await self.both("arrivals")


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(12))
async def test_both_boards_answer_the_same_to_the_same_steps(redis_server: RedisServer, seed: int) -> None:
    pair = Pair(redis_server.url, seed)
    try:
        await pair.run(80)
    finally:
        for board in pair.boards:
            await board.aclose()

"""`python -m tests.bench.board`: what a step on the board costs, in memory and in Redis (half a minute).

CPU is of the bridge's process; `server` is CPU of the redis-server that the benchmark starts. Each figure is
the median of five blocks with the lowest and the highest. A step is admit and settle of one warm request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scheduler.board.interface import (
    NO_LIMITS,
    Board,
    BoardDown,
    Bounds,
    Budget,
    Limits,
    Resident,
    Seat,
    Ticket,
)
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard
from tests.bench.figures import Spread
from tests.scheduler.board.server import RedisServer

BLOCKS = 5
NOW = time.time()
DAILY = Budget(period="day", tokens=10**13, start=0.0, end=NOW + 86_400.0)
ALL = Limits(requests_per_minute=10**9, tokens_per_minute=10**12, parallel=10**6, budgets=(DAILY,))
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is beside the one request that is measured."""

    keys: int
    models: int
    nodes: int

    def residents(self) -> list[Resident]:
        """Every model on as many nodes as there are, at most two; seats without end."""
        return [
            Resident(node=f"n{(model + copy) % self.nodes}", model=f"m{model}", num_ctx=4096, slots=10**6)
            for model in range(self.models)
            for copy in range(min(2, self.nodes))
        ]

    def tickets(self, count: int, limits: Limits) -> list[Ticket]:
        return [self.ticket(number, limits) for number in range(count)]

    def ticket(self, number: int, limits: Limits) -> Ticket:
        return Ticket(
            id=uuid.uuid4().hex,
            holder="bridge-1",
            key=f"k{number * 7919 % self.keys}",
            model=f"m{number * 104_729 % self.models}",
            num_ctx=2048,
            tokens=500,
            deadline=NOW + 3600.0,
            limits=limits,
        )


SMALL = Size(keys=1, models=1, nodes=1)
LARGE = Size(keys=10_000, models=200, nodes=50)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    unit: str
    value: Spread


async def fill(board: Board, size: Size) -> None:
    epoch = await board.lead("scheduler-1")
    assert epoch is not None
    await board.renew("bridge-1")
    loadable = {f"m{model}": 5.0 for model in range(size.models)}
    await board.publish(size.residents(), loadable=loadable, epoch=epoch)


async def steps(board: Board, tickets: Sequence[Ticket], latencies: list[float]) -> None:
    for ticket in tickets:
        began = time.perf_counter()
        answer = await board.admit(ticket)
        latencies.append(time.perf_counter() - began)
        assert isinstance(answer, Seat), answer
        await board.settle(ticket.id, 100)


async def blocks(work: Callable[[], Awaitable[dict[str, float]]]) -> dict[str, Spread]:
    """The spread of each figure over the blocks; the first block warms up and is left out."""
    await work()
    measured = [await work() for _ in range(BLOCKS)]
    return {name: Spread.of([block[name] for block in measured]) for name in measured[0]}


async def memory_warm(size: Size, limits: Limits) -> Spread:
    board = MemoryBoard()
    await fill(board, size)

    async def block() -> dict[str, float]:
        tickets = size.tickets(10_000, limits)
        began = time.process_time()
        await steps(board, tickets, [])
        return {"cpu": (time.process_time() - began) / len(tickets) * 1e6}

    return (await blocks(block))["cpu"]


async def memory_line() -> Spread:
    """One seat, a hundred waiting: settle, hand over, join again."""
    board = MemoryBoard(Bounds(queue_model=1000, queue_total=1000))
    epoch = await board.lead("scheduler-1")
    assert epoch is not None
    one_seat = Resident(node="n0", model="m0", num_ctx=4096, slots=1)
    await board.publish([one_seat], loadable={"m0": 5.0}, epoch=epoch)
    line = deque(SMALL.tickets(101, ALL))  # of one key, so the next one is known
    for ticket in line:
        await board.admit(ticket)

    async def block() -> dict[str, float]:
        fresh = SMALL.tickets(2000, ALL)
        began = time.process_time()
        for ticket in fresh:
            await board.settle(line.popleft().id, 100)
            await board.admit(ticket)
            line.append(ticket)
            assert isinstance(await board.wait(line[0].id, 0.0), Seat)
        return {"cpu": (time.process_time() - began) / len(fresh) * 1e6}

    return (await blocks(block))["cpu"]


def server_cpu(server: RedisServer) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def redis_board() -> AsyncIterator[tuple[RedisServer, RedisBoard]]:
    server = RedisServer()
    board = RedisBoard(server.url)
    try:
        yield server, board
    finally:
        await board.aclose()
        server.close()


async def redis_warm(size: Size, limits: Limits, at_once: int) -> dict[str, Spread]:
    async with redis_board() as (server, board):
        await fill(board, size)

        async def block() -> dict[str, float]:
            count = 3000 // at_once
            shares = [size.tickets(count, limits) for _ in range(at_once)]
            latencies: list[float] = []
            began, theirs = time.process_time(), server_cpu(server)
            await asyncio.gather(*(steps(board, share, latencies) for share in shares))
            await board.holders()  # after the last settling
            mine, theirs = time.process_time() - began, server_cpu(server) - theirs
            latencies.sort()
            return {
                "bridge": mine / len(latencies) * 1e6,
                "server": theirs / len(latencies) * 1e6,
                "p50": latencies[len(latencies) // 2] * 1e6,
                "p99": latencies[len(latencies) * 99 // 100] * 1e6,
            }

        return await blocks(block)


async def redis_publish(size: Size) -> dict[str, Spread]:
    """Milliseconds of publishing what changed, and of saying that nothing did."""
    async with redis_board() as (_, board):
        epoch = await board.lead("scheduler-1")
        assert epoch is not None
        shown = size.residents()

        async def ten(alternate: bool) -> float:
            began = time.perf_counter()
            for number in range(10):
                what = shown[1:] if alternate and number % 2 else shown
                await board.publish(what, loadable={"m0": 5.0}, epoch=epoch)
            return (time.perf_counter() - began) / 10 * 1e3

        async def block() -> dict[str, float]:
            return {"changed": await ten(True), "unchanged": await ten(False)}

        return await blocks(block)


async def redis_dead() -> tuple[float, Spread]:
    """Seconds of the first call on a stopped Redis, and microseconds of each further one."""
    async with redis_board() as (server, board):
        await fill(board, SMALL)
        server.pause()
        began = time.perf_counter()
        await refuses(board)
        first = time.perf_counter() - began

        async def block() -> dict[str, float]:
            began = time.perf_counter()
            for _ in range(200):
                await refuses(board)
            return {"wall": (time.perf_counter() - began) / 200 * 1e6}

        return first, (await blocks(block))["wall"]


async def refuses(board: Board) -> None:
    try:
        await board.admit(SMALL.ticket(0, NO_LIMITS))
    except BoardDown:
        return
    raise AssertionError("a stopped Redis answered")


async def measure() -> list[Row]:
    rows = [
        Row("memory, warm, no limits", "us CPU", await memory_warm(SMALL, NO_LIMITS)),
        Row("memory, warm, every limit", "us CPU", await memory_warm(SMALL, ALL)),
        Row("memory, warm, every limit, large", "us CPU", await memory_warm(LARGE, ALL)),
        Row("memory, line of 100", "us CPU", await memory_line()),
    ]
    for name, size, limits, at_once in (
        ("no limits", SMALL, NO_LIMITS, 32),
        ("every limit", SMALL, ALL, 1),
        ("every limit", SMALL, ALL, 8),
        ("every limit", SMALL, ALL, 32),
        ("every limit, large", LARGE, ALL, 32),
    ):
        figures = await redis_warm(size, limits, at_once)
        label = f"redis, warm, {name}, {at_once} at once"
        rows += [Row(f"{label}: bridge", "us CPU", figures["bridge"])]
        rows += [Row(f"{label}: server", "us CPU", figures["server"])]
        rows += [Row(f"{label}: {p} of admit", "us", figures[p]) for p in ("p50", "p99")]
    published = await redis_publish(LARGE)
    rows += [Row(f"redis, publish 400 residents, {kind}", "ms", published[kind]) for kind in published]
    first, further = await redis_dead()
    rows += [
        Row("redis stopped, first call", "ms", Spread.of([first * 1e3])),
        Row("redis stopped, each further call", "us", further),
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object per line")
    arguments = parser.parse_args()
    for row in asyncio.run(measure()):
        if arguments.json:
            print(json.dumps({"name": row.name, "unit": row.unit, "median": row.value.median}))
        else:
            print(f"{row.name:48} {row.value!s:>24} {row.unit}")


if __name__ == "__main__":
    main()

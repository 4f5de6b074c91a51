"""Several bridges, each a process of its own, on one board: seats, lines and limits are exact."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from scheduler.board.interface import Bounds
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import START, got_seat, publish, resident, ticket, waiting
from tests.scheduler.board.server import RedisServer

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).resolve().parents[3]


async def start(server: RedisServer, namespace: str, number: int, **task: Any) -> Process:
    values = {"url": server.url, "namespace": namespace, "holder": f"bridge-{number}"} | task
    command = ["-m", "tests.scheduler.board.bridge_process", json.dumps(values)]
    return await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=PIPE)


async def results(server: RedisServer, namespace: str, **task: Any) -> list[dict[str, Any]]:
    """What three processes at once report."""
    processes = [await start(server, namespace, number, **task) for number in range(3)]
    outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    return [json.loads(out) for out, _ in outputs]


def most_at_once(held: list[tuple[float, float]]) -> int:
    edges = sorted([(since, 1) for since, _ in held] + [(until, -1) for _, until in held])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


async def test_seats_are_exact_over_processes_and_every_ticket_gets_one(redis_server: RedisServer) -> None:
    namespace = uuid.uuid4().hex
    scheduler = RedisBoard(redis_server.url, namespace=namespace, timeout_s=10.0)
    await publish(scheduler, resident("n1", slots=2), resident("n2", slots=1))
    reports = await results(redis_server, namespace, work="seats", at_once=8, requests=15)
    held = [(since, until) for report in reports for since, until in report["held"]]
    nodes = [node for report in reports for node in report["nodes"]]
    assert len(held) == 3 * 8 * 15
    for node, slots in (("n1", 2), ("n2", 1)):
        assert most_at_once([h for h, n in zip(held, nodes, strict=True) if n == node]) == slots
    assert [load.in_flight for load in await scheduler.loads()] == [0, 0]
    assert await scheduler.demand() == []
    await scheduler.aclose()


async def test_limits_are_exact_over_processes(redis_server: RedisServer) -> None:
    namespace = uuid.uuid4().hex
    scheduler = RedisBoard(redis_server.url, namespace=namespace, clock=lambda: START, timeout_s=10.0)
    await publish(scheduler, resident(slots=1000))
    reports = await results(redis_server, namespace, work="limits")
    admitted = {kind: sum(report[kind] for report in reports) for kind in reports[0]}
    assert admitted == {"rate": 50, "tokens": 50, "parallel": 20, "budget": 100}
    await scheduler.aclose()


async def test_a_killed_bridge_frees_its_seats_within_its_lease(redis_server: RedisServer) -> None:
    namespace = uuid.uuid4().hex
    board = RedisBoard(redis_server.url, Bounds(lease_s=1.0), namespace=namespace, timeout_s=10.0)
    await publish(board, resident(slots=2))
    process = await start(redis_server, namespace, 1, work="hold", at_once=2, lease_s=1.0)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    queued = ticket(holder="bridge-2", deadline=time.time() + 60.0)
    await board.renew("bridge-2")
    await waiting(board, queued)
    process.kill()
    await process.wait()
    killed = time.monotonic()
    waiter = asyncio.create_task(got_seat(board, queued, 30.0))
    while not waiter.done():
        await board.renew("bridge-2")
        await asyncio.wait([waiter], timeout=0.1)
    assert (await waiter).node == "n1"
    assert time.monotonic() - killed < 3.0
    await board.aclose()

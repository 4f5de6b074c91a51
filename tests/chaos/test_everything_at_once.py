"""Faults of all kinds at random moments on three nodes under traffic: the invariants hold throughout."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import httpx
import pytest

from scheduler.board.interface import Refusal
from scheduler.board.memory import MemoryBoard
from scheduler.policy.state import Pin
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import QUICK, Table, eventually, loadable, seat, survey, working

pytestmark = [pytest.mark.asyncio, pytest.mark.chaos]

NAMES = "abcdef"
SECONDS = 5.0
APPS = 16


class World:
    """Three nodes with room for two models each, apps that ask for six, and a monkey."""

    def __init__(self, fake_node: FakeNode, seed: int) -> None:
        self.dice = random.Random(seed)
        self._fake_node = fake_node
        self.nodes = {f"n{i}": self.start() for i in (1, 2, 3)}
        self.board = MemoryBoard()
        self.seen: Counter[str] = Counter()
        self.done: Counter[str] = Counter()  # what the monkey did
        self.waits_s: list[float] = []
        self.until = time.monotonic() + SECONDS
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(timeout=5, trust_env=False, limits=limits)

    def start(self, port: int = 0) -> NodeProcess:
        models = ",".join(f"{name}={3 + i}@32768" for i, name in enumerate(NAMES))
        return self._fake_node(
            models, vram_gib=20, slots=2, tps=100, load_gbps=20, vram_recovery=0.02, port=port
        )

    async def app(self, key: str) -> None:
        while time.monotonic() < self.until:
            model = f"{self.dice.choice(NAMES)}:latest"
            began = time.monotonic()
            mine = await seat(self.board, model, num_ctx=self.dice.choice((0, 0, 0, 9000)), key=key)
            self.waits_s.append(time.monotonic() - began)
            if isinstance(mine, Refusal):
                self.seen[mine.reason] += 1
                await asyncio.sleep(0.05)
                continue
            options = {**mine.options, "num_predict": self.dice.randrange(1, 30)}
            body = {"model": model, "prompt": "hi", "stream": False, "options": options, "keep_alive": -1}
            try:
                answer = await self.http.post(self.nodes[mine.node].url + "/api/generate", json=body)
                self.seen[str(answer.status_code)] += 1
            except httpx.TransportError:
                self.seen["broken"] += 1
            await self.board.settle(mine.ticket, 1)

    async def monkey(self) -> None:
        while time.monotonic() < self.until - 2:
            await asyncio.sleep(self.dice.uniform(0.2, 0.8))
            what = self.dice.choice(("oom", "wedge", "heal", "kill", "unload", "slow"))
            await getattr(self, what)(self.dice.choice(list(self.nodes)))
            self.done[what] += 1

    async def oom(self, name: str) -> None:
        self.nodes[name].arm("oom_at_load", count=self.dice.choice((1, 2, 3)))

    async def wedge(self, name: str) -> None:
        self.nodes[name].arm("wedge", count=1)

    async def slow(self, name: str) -> None:
        self.nodes[name].arm("latency", value=0.3, count=5)

    async def heal(self, name: str) -> None:
        self.nodes[name].disarm()

    async def unload(self, name: str) -> None:
        """Someone else's call, behind the scheduler's back."""
        body = {"model": self.dice.choice(NAMES), "keep_alive": 0}
        await self.http.post(self.nodes[name].url + "/api/generate", json=body)

    async def kill(self, name: str) -> None:
        port = self.nodes[name].port
        self.nodes[name].kill()
        await asyncio.sleep(self.dice.uniform(0.1, 0.5))
        self.nodes[name] = await asyncio.to_thread(self.start, port)


async def test_each_request_ends_and_the_scheduler_alone_decides_what_is_loaded(
    fake_node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(fake_node, seed=7)
    table = Table(survey(world.nodes, pins=(Pin(model="a:latest", name="pin"),)))
    pace = replace(QUICK, load_floor_s=2.0)
    async with world.http, working(world.board, table, pace=pace) as worker:
        apps = [world.app(f"key{i % 5}") for i in range(APPS)]
        await asyncio.gather(world.monkey(), *apps)
        for node in world.nodes.values():
            node.disarm()
        for name in NAMES:  # all is well again within the pauses that failures earned
            await eventually(partial(loadable, world.board, f"{name}:latest"), 20)
        assert not worker.failed.done()
        assert {"lead", "demand", "rounds", "watch n1", "watch n2", "watch n3"} <= set(worker.alive())
    assert world.seen["200"] > 50, world.seen
    assert max(world.waits_s) < 20, "no line starves"
    reloads = sum(node.report()["reloads_total"] for node in world.nodes.values())
    foreign = world.done["unload"] + world.done["kill"]
    assert reloads <= foreign, "only a request whose model was taken away under it may load"
    for node in world.nodes.values():
        report = node.report()
        assert [e for e in report["evictions"] if e["cause"] != "oom"] == [], "Ollama evicts after OOM only"
        assert max(report["peak_waiting"].values(), default=0) == 0, "the node never queues"
        assert max(report["peak_in_flight"].values(), default=0) <= 2
    broken = [r for r in caplog.records if r.exc_info and r.levelno >= logging.ERROR]
    assert broken == [], "nothing failed in a way that nobody foresaw"

"""A small fleet: a real Redis, web processes on one database, schedulers beside them, fake nodes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduler.board.redis import RedisBoard
from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.scheduler.board.conftest import start_redis
from tests.scheduler.board.server import RedisServer
from tests.serving import ROOT, Bridge, copied

SLOTS = 4
NOTED_S = 1.2  # web processes note once a second what is resident, for when Redis is away


class Scheduler:
    """`manage.py runscheduler` as a process."""

    def __init__(self, bridge: Bridge) -> None:
        self.log = bridge.data_dir / "scheduler.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runscheduler"],
                cwd=ROOT,
                env=bridge.env,
                stdout=log,
                stderr=log,
            )

    def leads(self) -> bool:
        return f"-{self.process.pid}-" in self.log.read_text() and any(
            f"-{self.process.pid}-" in line and "leads" in line for line in self.log.read_text().splitlines()
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()


class Fleet:
    """Two web processes, two schedulers, two nodes, one Redis. Only the first node has more than llama3.2."""

    def __init__(self, stack: ExitStack, data: Path, redis: RedisServer, **env: str) -> None:
        self.redis = redis
        self.nodes = [
            stack.enter_context(NodeProcess(models, vram_gib=24, slots=SLOTS, **QUICK))
            for models in ("llama3.2=2,qwen3=5,gemma3=3,phi4=3", "llama3.2=2")
        ]
        settings = {"REDIS_URL": redis.url, "BRIDGE_DEFAULT_SLOTS": str(SLOTS), **env}
        urls = [node.url for node in self.nodes]
        self.webs = [Bridge(data, nodes=urls, **settings) for _ in range(2)]
        for web in self.webs:
            web.log = data / f"serve-{web.port}.log"
            stack.callback(web.close)
        self.web.manage("synccatalog")
        self._stack = stack
        self.schedulers: list[Scheduler] = []

    @property
    def web(self) -> Bridge:
        return self.webs[0]

    def start(self) -> Fleet:
        self.add_scheduler()
        self.web.until(self.schedulers[0].leads)
        self.add_scheduler()
        for web in self.webs:
            web.start()
        return self

    def key(self, *args: str) -> str:
        """A fresh key that every web process knows."""
        key = self.web.key(*args)
        self.web.until(lambda: all(web.knows(key) for web in self.webs))
        return key

    def warm(self, key: str, model: str = "llama3.2") -> None:
        """Have the model loaded, and wait until every web process has noted that it is."""
        for web in self.webs:
            body = {"model": model, "prompt": "one", "stream": False, "options": {"num_predict": 1}}
            with web.client(key) as client:
                client.post("/api/generate", json=body).raise_for_status()
        time.sleep(NOTED_S)

    def as_before(self) -> None:
        """Nobody sits or waits, on the board and on the nodes, and no node did anything by itself."""
        self.web.until(lambda: not any(node.report()["in_flight"] for node in self.nodes))
        self.web.until(lambda: self.in_flight() == 0)
        for node in self.nodes:
            report = node.report()
            assert report["reloads_total"] == 0, report["reloads"]
            assert report["evictions_total"] == 0, report["evictions"]
            assert max(report["peak_in_flight"].values(), default=0) <= SLOTS
            assert max(report["peak_waiting"].values(), default=0) == 0, "the node never queues"

    def in_flight(self) -> int:
        """Seats taken and places in lines, as the board has them."""

        async def looked() -> int:
            board = RedisBoard(self.redis.url)
            try:
                loads, lines = await board.loads(), await board.demand()
                return sum(load.in_flight for load in loads) + sum(line.waiting for line in lines)
            finally:
                await board.aclose()

        return asyncio.run(looked())

    def add_scheduler(self) -> None:
        scheduler = Scheduler(self.web)
        self._stack.callback(scheduler.close)
        self.schedulers.append(scheduler)


@pytest.fixture(scope="module")
def fleet(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One for a whole file: each test leaves it able to serve."""
    with ExitStack() as stack:
        redis = start_redis(tcp=True)
        stack.callback(redis.close)
        yield Fleet(stack, copied(empty_data, tmp_path_factory.mktemp("fleet") / "data"), redis).start()

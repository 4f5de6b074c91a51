"""A small fleet: a real Redis, web processes on one database, schedulers beside them, fake nodes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.scheduler.board.conftest import start_redis
from tests.scheduler.board.server import RedisServer
from tests.serving import ROOT, Bridge, copied


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
    """Two web processes, two schedulers, two nodes, one Redis."""

    def __init__(self, stack: ExitStack, data: Path, redis: RedisServer, **env: str) -> None:
        self.redis = redis
        self.nodes = [
            stack.enter_context(NodeProcess("llama3.2=2,qwen3=5", vram_gib=24, slots=4, **QUICK))
            for _ in range(2)
        ]
        settings = {"REDIS_URL": redis.url, "BRIDGE_DEFAULT_SLOTS": "4", **env}
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

    def add_scheduler(self) -> None:
        scheduler = Scheduler(self.web)
        self._stack.callback(scheduler.close)
        self.schedulers.append(scheduler)


@pytest.fixture
def fleet(empty_data: Path, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        redis = start_redis(tcp=True)
        stack.callback(redis.close)
        yield Fleet(stack, copied(empty_data, tmp_path / "data"), redis).start()

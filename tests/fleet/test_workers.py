"""`serve --workers`: a roll without one failed request, a stop in order, and deaths on either side."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.fleet.steady import Steady
from tests.scheduler.board.conftest import start_redis
from tests.serving import PATIENCE_S, Bridge, copied

pytestmark = pytest.mark.chaos


class Workers(Bridge):
    """`serve` with two web processes."""

    def pids(self) -> list[int]:
        """The web processes that are there now."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def serving(self) -> int:
        """How many web processes of this start have begun to serve."""
        assert self.process is not None
        lately = self.log.read_text().rpartition(f"(pid {self.process.pid})")[2]
        return lately.count("Application startup complete")

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@pytest.fixture(scope="module")
def served(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ExitStack() as stack:
        redis = start_redis(tcp=True)
        stack.callback(redis.close)
        node = stack.enter_context(NodeProcess("llama3.2=2", vram_gib=24, slots=8, **QUICK))
        data = copied(empty_data, tmp_path_factory.mktemp("workers") / "data")
        env = {"REDIS_URL": redis.url, "BRIDGE_WORKERS": "2", "BRIDGE_SCHEDULER": "on"}
        bridge = Workers(data, nodes=[node.url], BRIDGE_DEFAULT_SLOTS="8", **env)
        stack.callback(bridge.close)
        bridge.manage("synccatalog")
        key = bridge.key()
        yield Served(node, bridge.start(), key)


@pytest.fixture
def workers(served: Served) -> Workers:
    bridge = served.bridge
    assert isinstance(bridge, Workers)
    if bridge.process is None:
        bridge.start()
    bridge.until(lambda: len(bridge.pids()) == 2 and bridge.serving() >= 2)
    return bridge


def test_a_roll_under_load_fails_no_request(served: Served, workers: Workers) -> None:
    old = set(workers.pids())
    with Steady(workers.url, served.key, 4) as load:
        workers.until(lambda: load.seen["answered"] > 40)
        workers.tell(signal.SIGHUP)
        workers.until(lambda: len(workers.pids()) == 2 and not old & set(workers.pids()))
        goal = load.seen["answered"] + 40
        workers.until(lambda: load.seen["answered"] > goal)
    assert load.failed == {}


def test_a_worker_that_was_killed_is_replaced(served: Served, workers: Workers) -> None:
    victim, other = workers.pids()
    os.kill(victim, signal.SIGKILL)
    workers.until(lambda: len(workers.pids()) == 2 and victim not in workers.pids())
    assert other in workers.pids()


def test_a_stop_lets_the_streams_of_every_worker_end(served: Served, workers: Workers) -> None:
    served.node.arm("slow_drip", count=4, value=0.1)
    body = served.body("/api/chat", stream=True) | {"options": {"num_predict": 12}}
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(workers, served.key)) for _ in range(4)]
        for wire in wires:
            wire.send("/api/chat", body)
            wire.until(b"one")
        workers.tell(signal.SIGTERM)
        for wire in wires:
            wire.until(b'"done":true')
    assert workers.process is not None
    assert workers.process.wait(PATIENCE_S) == 0
    workers.process = None


def test_no_web_process_outlives_its_parent(served: Served, workers: Workers) -> None:
    pids = workers.pids()
    workers.kill()
    workers.until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids))

"""A caller that switches models: what prefetching hides of its waiting, from its own side of the wire.

Two bridges before two like nodes, with the same records of the past and the same requests at the same time;
one of them may not prefetch.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.usage.outbox import Outbox
from scheduler.simulator.process import NodeProcess
from tests.serving import Bridge, copied

MODELS = ("a", "b", "c", "d", "e", "f", "g")  # more than are foreseen to come back soon
LOAD_S = 0.6
THINK_S = 1.7  # between an answer and the next request: longer than a load and what stays at least
ROUNDS = 5
NODE = {"load_gbps": 100, "load_fixed": LOAD_S, "vram_recovery": 0.01, "tps": 50, "prefill_tps": 0}


@dataclass(frozen=True, slots=True)
class Run:
    """What one caller saw, and what the node and the ledger say of it."""

    waits: list[float]  # seconds to the first byte, by request
    loads: list[str]  # X-Bridge-Load, by request
    report: dict[str, Any]
    ledger: list[dict[str, Any]]
    metrics: str

    def sums(self, kind: str) -> Counter[str]:
        return Counter(entry["outcome"] for entry in self.ledger if entry["kind"] == kind)


def history(data: Path, key: str) -> None:
    """Usage records of yesterday, as a bridge that was killed leaves them: the same cycle all the time."""
    outbox, start = Outbox(data / "outbox"), time.time() - 86_400
    for n in range(140):
        outbox.append(
            {
                "request_id": f"req_{n}",
                "at": start + n * (THINK_S + 0.2),
                "key": key,
                "model": f"{MODELS[n % len(MODELS)]}:latest",
                "outcome": "answered",
            }
        )
    outbox.seal()


def call(bridge: Bridge, node: NodeProcess, key: str) -> Run:
    """The workload: each model in turn, a pause after each answer."""
    waits, loads = [], []
    with bridge.client(key) as client:
        for n in range(ROUNDS):
            body = {"model": MODELS[n % len(MODELS)], "prompt": "one two", "options": {"num_predict": 6}}
            began = time.monotonic()
            with client.stream("POST", "/api/generate", json=body) as reply:
                assert reply.status_code == 200
                loads.append(reply.headers["x-bridge-load"])
                next(chunks := reply.iter_raw())
                waits.append(time.monotonic() - began)
                for _ in chunks:
                    pass
            time.sleep(THINK_S)  # what a caller does with an answer; nothing is waited for
    metrics = bridge.get("/metrics").text
    bridge.stop()  # what is to be written is written
    with closing(sqlite3.connect(bridge.data_dir / "bridge.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        ledger = [dict(row) for row in database.execute("SELECT * FROM scheduler_ledgerentry ORDER BY id")]
    return Run(waits, loads, node.report(), ledger, metrics)


def began(stack: ExitStack, data: Path, prefetch: str) -> tuple[Bridge, NodeProcess, str]:
    models = ",".join(f"{name}=4" for name in MODELS)
    node = stack.enter_context(NodeProcess(models, vram_gib=14, **NODE))  # room for two of them
    env = {"BRIDGE_PREFETCH": prefetch, "BRIDGE_DEFAULT_NUM_CTX": "4096"}
    bridge = Bridge(data, nodes=[], **env)
    stack.callback(bridge.close)
    bridge.manage("nodes", "add", node.url, "--name", "n1", "--vram", "14GiB")
    bridge.manage("synccatalog")
    key = bridge.key()
    history(data, key.split("_")[1])
    return bridge.start(), node, key


@pytest.fixture(scope="module")
def runs(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """With prefetch and without, side by side."""
    modes = ("on", "off")
    with ExitStack() as stack, ThreadPoolExecutor(len(modes)) as pool:
        directory = tmp_path_factory.mktemp("prefetch")
        data = [copied(empty_data, directory / mode) for mode in modes]
        started = list(pool.map(began, [stack] * len(modes), data, modes))
        yield dict(zip(modes, pool.map(lambda each: call(*each), started), strict=True))


def test_prefetching_hides_most_of_what_the_caller_would_wait(runs: dict[str, Run]) -> None:
    ahead, on_demand = runs["on"], runs["off"]
    switched = slice(1, None)  # before the first request nobody knows that one will come
    assert on_demand.loads.count("cold") >= ROUNDS - 2, on_demand.loads
    hidden = sum(on_demand.waits[switched]) - sum(ahead.waits[switched])
    assert hidden > 0.5 * LOAD_S * (ROUNDS - 1), (ahead.waits, on_demand.waits)
    assert sum(ahead.waits[switched]) < 0.5 * sum(on_demand.waits[switched])
    assert ahead.loads[1:].count("prefetched") >= (ROUNDS - 1) // 2


def test_the_ledger_and_the_node_tell_of_the_same_loads(runs: dict[str, Run]) -> None:
    for run in runs.values():
        loaded = run.sums("load") + run.sums("prefetch") - Counter(failed=99)
        aborted = sum(entry["cause"] == "preempted" for entry in run.ledger)
        assert loaded.total() - aborted == run.report["loads_total"]
        assert run.sums("evict")["ok"] == run.report["unloads_total"]
        assert run.report["reloads_total"] == run.report["evictions_total"] == 0, run.report["evictions"]


def test_each_prefetch_ends_with_seconds_that_the_client_can_confirm(runs: dict[str, Run]) -> None:
    ahead = runs["on"]
    ended = [entry for entry in ahead.ledger if entry["kind"] == "prefetch" and entry["outcome"]]
    good = [entry for entry in ended if entry["outcome"] in ("hit", "late")]
    assert len(good) == ahead.loads.count("prefetched") + sum(e["outcome"] == "late" for e in ended)
    for entry in good:
        assert 0 < entry["saved_s"] <= entry["seconds"] + 0.5
    saved = sum(entry["saved_s"] for entry in ended)
    hidden = sum(runs["off"].waits[1:]) - sum(ahead.waits[1:])
    assert saved == pytest.approx(hidden, rel=0.5)
    assert f"ollama_bridge_prefetch_balance_seconds {saved:.3f}"[:40] in ahead.metrics
    assert runs["off"].sums("prefetch").total() == 0

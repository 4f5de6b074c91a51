"""The replay tells the truth: the same short traces, live and replayed, start cold about as often."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from scheduler.policy.state import Node
from scheduler.replay import policies
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.policies import Setting
from scheduler.replay.trace import Trace
from scheduler.simulator.process import NodeProcess
from tests.serving import PLAIN, Bridge, copied

pytestmark = pytest.mark.chaos

SECONDS = 16.0
SEEDS = (8, 9, 10)  # of one trace alone, a close call at one eviction moves the share by a tenth
NAMES = ("a", "b", "c", "d")
SIZE_GB = 4.0
VRAM_GIB = 18
FIT = 3  # models that a node has room for
APPS = 6
TOKENS = 8
TIMING = Timing(slots=2, load_overhead_s=0.2, load_gbps=20.0, decode_gbps=1e6, decode_cap=100.0, prefill=1e9)
AGREES = 0.15  # of the replayed share


def trace(seed: int) -> Trace:
    """Apps that stay with a model for some requests and then take another."""
    dice = random.Random(seed)
    asked: list[tuple[float, int]] = []
    for _ in range(APPS):
        at, model = dice.uniform(0, 2), dice.randrange(len(NAMES))
        while at < SECONDS:
            asked.append((at, model))
            at += dice.expovariate(2.0)
            if dice.random() < 0.15:
                model = dice.randrange(len(NAMES))
    asked.sort()
    times, models = (list(column) for column in zip(*asked, strict=True))
    return Trace(
        times=times,
        keys=[0] * len(asked),
        models=models,
        prompt_tokens=[1] * len(asked),
        output_tokens=[TOKENS] * len(asked),
        key_names=["team"],
        model_names=[f"{name}:latest" for name in NAMES],
        sizes_gb=[SIZE_GB] * len(NAMES),
    )


def replayed(asked: Trace) -> float:
    """How many cold starts the replay foretells."""

    def nodes() -> list[Node]:
        return parse(f"1x{FIT * SIZE_GB + 1}@{TIMING.load_gbps}", TIMING)

    outcome, _ = policies.run("bridge-reactive", Setting(trace=asked, nodes=nodes, timing=TIMING))
    return outcome.cold_share * len(asked)


async def driven(bridge: Bridge, key: str, asked: Trace) -> list[str]:
    """X-Bridge-Load of each request, sent at its time."""
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=bridge.url, headers=headers, timeout=30, limits=limits, **PLAIN
    ) as client:
        start = asyncio.get_running_loop().time()

        async def send(at: float, model: str) -> str:
            await asyncio.sleep(start + at - asyncio.get_running_loop().time())
            body = {"model": model, "prompt": "one", "stream": False, "options": {"num_predict": TOKENS}}
            reply = await client.post("/api/generate", json=body)
            reply.raise_for_status()
            return reply.headers["x-bridge-load"]

        rows = zip(asked.times, asked.models, strict=True)
        return await asyncio.gather(*(send(at, asked.model_names[model]) for at, model in rows))


def lived(data: Path, asked: Trace) -> int:
    """How many cold starts there are, on one node behind one bridge."""
    models = ",".join(f"{name}={SIZE_GB:g}" for name in NAMES)
    speed = {"load_gbps": TIMING.load_gbps, "load_fixed": TIMING.load_overhead_s, "vram_recovery": 0.01}
    env = {
        "BRIDGE_PREFETCH": "off",
        "BRIDGE_DEFAULT_NUM_CTX": "4096",
        "BRIDGE_DEFAULT_SLOTS": str(TIMING.slots),
    }
    pace = {"slots": TIMING.slots, "tps": TIMING.decode_cap, "prefill_tps": 0}
    with NodeProcess(models, vram_gib=VRAM_GIB, **pace, **speed) as node:
        bridge = Bridge(data, nodes=[], **env)
        try:
            bridge.manage("nodes", "add", node.url, "--name", "n1", "--vram", f"{VRAM_GIB}GiB")
            bridge.manage("synccatalog")
            key = bridge.key()
            loads = asyncio.run(driven(bridge.start(), key, asked))
        finally:
            bridge.close()
        assert node.report()["evictions_total"] == 0, "the node never evicts by itself"
    return loads.count("cold")


def test_traces_start_cold_as_often_live_as_in_the_replay(empty_data: Path, tmp_path: Path) -> None:
    asked = [trace(seed) for seed in SEEDS]
    data = [copied(empty_data, tmp_path / str(seed)) for seed in SEEDS]
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        live = sum(pool.map(lived, data, asked))
    foretold = sum(replayed(each) for each in asked)
    assert foretold > 0.2 * sum(map(len, asked)), "there is something to agree on"
    assert live == pytest.approx(foretold, rel=AGREES)

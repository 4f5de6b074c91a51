"""The routes under /_sim that tests steer the node by; no Ollama has them."""

from __future__ import annotations

from typing import Any

import orjson

from scheduler.simulator.decode import BadRequest
from scheduler.simulator.exchange import Exchange
from scheduler.simulator.faults import BadFault, fault_of
from scheduler.simulator.runner import Runner
from scheduler.simulator.seen import Seen
from scheduler.simulator.simulator import Simulator, Traffic


async def list_faults(sim: Simulator, exchange: Exchange) -> None:
    await exchange.json([fault.as_json() for fault in sim.board.faults])


async def arm_faults(sim: Simulator, exchange: Exchange) -> None:
    """One fault or a list of them."""
    try:
        body = orjson.loads(await exchange.body())
        sim.board.arm([fault_of(fields) for fields in (body if isinstance(body, list) else [body])])
    except (orjson.JSONDecodeError, BadFault, AttributeError, TypeError) as error:
        raise BadRequest(400, f"no faults were armed: {error}") from None
    await list_faults(sim, exchange)


async def clear_faults(sim: Simulator, exchange: Exchange) -> None:
    """Also lets stuck unloads complete; loads that hang stay, their clients must leave."""
    sim.board.clear()
    sim.driver.unstick()
    await exchange.json([])


async def report(sim: Simulator, exchange: Exchange) -> None:
    sim.driver.catch_up()
    traffic = sim.traffic
    http = {
        "routes": dict(traffic.routes),
        "with_authorization": traffic.with_authorization,
        "cloud_forwards": traffic.cloud_forwards,
        "streams_cut": traffic.streams_cut,
    }
    await exchange.json({**sim.node.seen.report(), "in_flight": sim.node.in_flight, "http": http})


async def reset(sim: Simulator, exchange: Exchange) -> None:
    """Counters and logs start anew; residents and requests stay."""
    sim.node.seen = Seen()
    sim.traffic = Traffic()
    await exchange.json({})


async def state(sim: Simulator, exchange: Exchange) -> None:
    sim.driver.catch_up()
    node = sim.node
    loading = node.pending.loading
    await exchange.json(
        {
            "now": node.now,
            "version": sim.generation.version,
            "vram": node.config.vram,
            "vram_used": node.vram_used,
            "recovering": node.recovering,
            "pending": len(node.pending),
            "blocked_by_unload": node.pending.blocked_by_unload,
            "loading": loading.model.name if loading else None,
            "in_flight": node.in_flight,
            "residents": [_resident(runner) for runner in node.runners.values()],
        }
    )


def _resident(runner: Runner) -> dict[str, Any]:
    profile = runner.profile
    return {
        "model": runner.model.name,
        "slots": runner.slots,
        "running": len(runner.running),
        "waiting": len(runner.waiting),
        "references": len(runner.references),
        "num_ctx": profile.num_ctx,
        "num_batch": profile.num_batch,
        "shift": profile.shift,
        "keep_alive_s": None if runner.keep_alive_s == float("inf") else runner.keep_alive_s,
        "size": runner.placement.size,
        "size_vram": runner.placement.size_vram,
        "leaving": runner.leaving.cause if runner.leaving else None,
        "stuck": runner.stuck,
    }

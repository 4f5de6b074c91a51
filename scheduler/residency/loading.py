"""Into VRAM: victims out, load with a deadline, confirm by /api/ps, measure, publish."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from scheduler.nodes.errors import NodeFailure, NodeGarbage
from scheduler.nodes.replies import RunningModel
from scheduler.policy import packing
from scheduler.policy.config import GB
from scheduler.policy.decisions import Load
from scheduler.policy.state import Resident
from scheduler.residency import mishaps, outcomes
from scheduler.residency.book import held_bytes
from scheduler.residency.means import Means
from scheduler.residency.rows import keep_alive
from scheduler.residency.unloading import clear

log = logging.getLogger(__name__)

LOOK_S = 0.05  # between looks at /api/ps for a model that was just loaded


async def load(means: Means, decision: Load, key: str) -> None:
    """Carry out a load. What goes wrong with it is judged here; what goes wrong with a victim is raised."""
    fleet = means.fleet
    leaving = victims(means, decision)
    for model in leaving:
        await clear(means, decision.node, model, decision.cause, f"Room for {decision.model}.")
    if leaving:  # a node that does not see the room yet would spill, or evict one more by its own rules
        await asyncio.sleep(fleet.sights[decision.node].recovery_s(fleet.pace))
    await means.lead.confirm()
    began = fleet.clock()
    free = free_bytes(means, decision.node)
    try:
        line, running = await _into_vram(means, decision)
    except NodeFailure as error:
        mishap = await mishaps.judge(means, decision, error, free, deadline_s(means, decision))
        seconds = fleet.clock() - began
        means.record(outcomes.not_loaded(decision, key, mishap.kind, mishap.detail, seconds))
        log.warning("%s", mishap.detail)
        return
    hurried = _evicted_by_node(means, decision, running) or bool(line.spilled_bytes and line.size_vram)
    if leaving:
        fleet.sights[decision.node].swapped(hurried=hurried)
    await _arrived(means, decision, line, key, fleet.clock() - began)


def _evicted_by_node(means: Means, decision: Load, running: list[RunningModel]) -> bool:
    """Whether the node itself put residents out to make room, which the scheduler should have prevented."""
    left = {line.digest for line in running}
    gone = [r for r in means.fleet.book.on(decision.node) if r.digest not in left]
    for resident in gone:
        means.fleet.book.unloaded(decision.node, resident.model, means.fleet.clock())
        means.record(outcomes.evicted_by_node(resident, decision.model))
        log.error("%s evicted %s by itself to load %s.", decision.node, resident.model, decision.model)
    return bool(gone)


def victims(means: Means, decision: Load) -> list[str]:
    """What goes first; also other names of the same file: Ollama has one runner for them all."""
    digest = digest_of(means, decision)
    same = [r.model for r in means.fleet.book.on(decision.node) if digest and r.digest == digest]
    return list(dict.fromkeys([*decision.evict, *(m for m in same if m != decision.model)]))


def digest_of(means: Means, decision: Load) -> str:
    model = means.fleet.rows.models.get(decision.model)
    return model.digests.get(decision.node, "") if model else ""


def free_bytes(means: Means, node: str) -> int:
    """VRAM that a load on this node finds, without its own reservation."""
    fleet = means.fleet
    seen = replace(fleet.state(()).nodes[node], busy_with=None)
    return packing.free(seen, fleet.book.on(node), means.config)


def deadline_s(means: Means, decision: Load) -> float:
    """From the measured seconds of a load, or from its bytes at the slowest speed that is believed."""
    pace, model = means.fleet.pace, means.fleet.rows.models.get(decision.model)
    if means.fleet.learning.was_measured(decision.node, decision.model) or model is None:
        return pace.load_floor_s + pace.load_factor * decision.expected_s
    return pace.load_floor_s + model.weights_bytes / (pace.unmeasured_gbps * GB)


async def renew(means: Means, resident: Resident) -> None:
    """Have a resident kept: a call with its own profile loads nothing, and carries our keep_alive.
    Raises NodeFailure, Deposed."""
    await means.lead.confirm()
    await means.client(resident.node).load(
        resident.model,
        options=resident.profile.runner_options(),
        keep_alive=keep_alive(),
        deadline_s=means.fleet.pace.load_floor_s,
        embedding=resident.model in means.fleet.rows.embedding,
        shift=resident.profile.shift,
    )


async def _into_vram(means: Means, decision: Load) -> tuple[RunningModel, list[RunningModel]]:
    """Load and confirm: its line of /api/ps, and all lines. Raises NodeFailure."""
    await means.client(decision.node).load(
        decision.model,
        options=decision.profile.runner_options(),
        keep_alive=keep_alive(),
        deadline_s=deadline_s(means, decision),
        embedding=decision.model in means.fleet.rows.embedding,
        shift=decision.profile.shift,
    )
    return await _listed(means, decision)


async def _listed(means: Means, decision: Load) -> tuple[RunningModel, list[RunningModel]]:
    """Its line in /api/ps, by name or by digest, and all lines. Raises NodeGarbage when it does not come."""
    pace, digest = means.fleet.pace, digest_of(means, decision)
    until = means.fleet.clock() + pace.confirm_s
    while True:
        running = await means.client(decision.node).ps(pace.ps_s)
        by_name = [line for line in running if line.name == decision.model]
        for line in by_name or [line for line in running if digest and line.digest == digest]:
            return line, running
        if means.fleet.clock() >= until:
            raise NodeGarbage(decision.node, f"{decision.model} was loaded, but /api/ps does not list it")
        await asyncio.sleep(LOOK_S)


async def _arrived(means: Means, decision: Load, line: RunningModel, key: str, seconds: float) -> None:
    """The node confirmed the load: into the book, measure, publish."""
    fleet = means.fleet
    resident = _resident(means, decision, line, seconds)
    fleet.book.loaded(resident)
    _learn(means, resident, line, seconds)
    means.record(*outcomes.loaded(decision, resident, line, key))
    if resident.spilled_bytes and await _taken_out_again(means, resident, line):
        return
    fleet.failures.clear(decision.node, decision.model)
    fleet.too_large.clear(decision.node, mishaps.grown(decision))
    log.info("%s is on %s after %.2f s (%s).", decision.model, decision.node, seconds, decision.cause)
    await means.publish()


def _resident(means: Means, decision: Load, line: RunningModel, seconds: float) -> Resident:
    now = means.fleet.clock()
    sight = means.fleet.sights[decision.node]
    sight.gpu_seen = sight.gpu_seen or line.size_vram > 0
    return Resident(
        node=decision.node,
        model=decision.model,
        digest=line.digest,
        profile=replace(decision.profile, num_ctx=line.num_ctx or decision.profile.num_ctx),
        bytes=held_bytes(line),
        measured=True,
        spilled_bytes=line.spilled_bytes if sight.gpu_seen else 0,
        last_used=now,
        loaded_at=now,
        load_s=seconds,
        cause=decision.cause,
        used=decision.cause != "prefetch",
    )


def _learn(means: Means, resident: Resident, line: RunningModel, seconds: float) -> None:
    fleet, node = means.fleet, resident.node
    model = fleet.rows.models.get(resident.model)
    gbps = fleet.learning.loaded(
        node,
        resident.model,
        packing.footprint(resident.digest, resident.profile),
        size_bytes=line.size_bytes,
        seconds=seconds,
        weights_bytes=model.weights_bytes if model else line.size_bytes,
    )
    means.record(outcomes.speed(node, gbps))
    sight = fleet.sights[node]
    if sight.proved():
        means.record(*outcomes.recovered(node, f"{resident.model} was loaded in {seconds:.1f} s."))
    row = fleet.rows.nodes.get(node)
    if resident.spilled_bytes and row is not None and row.vram_bytes is None:
        sight.learned_vram = sum(r.bytes + means.config.runner_bytes for r in fleet.book.on(node))


async def _taken_out_again(means: Means, resident: Resident, line: RunningModel) -> bool:
    """The spill guard: what lies partly in host memory is many times slower."""
    fleet = means.fleet
    said = (
        f"{resident.model} needs {line.size_bytes / GB:.1f} GB, of which only {line.size_vram / GB:.1f} GB "
        f"fit into the VRAM of {resident.node}."
    )
    on_spill = fleet.rows.on_spill.get(resident.model, "alert")
    if on_spill != "allow":
        log.warning("%s", said)
    if on_spill != "refuse":
        return False
    fleet.failures.block(resident.node, resident.model, said, fleet.clock())
    await clear(means, resident.node, resident.model, "spill", said)
    return True

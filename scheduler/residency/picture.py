"""The fleet in figures: what the gauges say of a State. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.policy import context, packing
from scheduler.policy.config import Config
from scheduler.policy.state import Line, Model, Node, State
from scheduler.policy.view import View
from scheduler.residency.assemble import UNKNOWN_VRAM

PREFIX = "ollama_bridge"


@dataclass(frozen=True, slots=True)
class Gauge:
    help: str
    labels: tuple[str, ...] = ()


GAUGES = {
    "leader": Gauge("1 where this process is the scheduler that leads."),
    "node_state": Gauge(
        "1 for the state that the node is in: up, down, quarantined or draining.", ("node", "state")
    ),
    "vram_total_bytes": Gauge("What models may take on the node in all.", ("node",)),
    "vram_used_bytes": Gauge("What residents take, by the node's own account.", ("node",)),
    "vram_reserved_bytes": Gauge("What a load that runs now is expected to take.", ("node",)),
    "vram_free_bytes": Gauge(
        "What may still be given: the rest, and never more than was measured.", ("node",)
    ),
    "vram_spilled_bytes": Gauge("What lies in host memory because VRAM was too small.", ("node",)),
    "vram_fragmentation_ratio": Gauge(
        "Share of the node's VRAM that is free but too little for every model that waits for the node.",
        ("node",),
    ),
    "residents": Gauge("Models resident on the node.", ("node",)),
    "resident_bytes": Gauge("VRAM that a resident takes.", ("node", "model")),
    "resident_slots": Gauge("Parallel generations that a resident allows.", ("node", "model")),
    "resident_in_flight": Gauge("Requests that a resident runs now.", ("node", "model")),
    "loads_in_progress": Gauge("Loads that run on the node now.", ("node",)),
    "queue_depth": Gauge("Requests in the line of a model, in the whole fleet.", ("model",)),
    "queue_wait_seconds": Gauge("How long the first in the line of a model has waited.", ("model",)),
}  # by name without the prefix

Samples = list[tuple[tuple[str, ...], float]]
Picture = Mapping[str, Samples]


def picture(state: State, now: float, config: Config) -> Picture:
    """The samples of every gauge but `leader`. A node whose VRAM nobody knows has no total and no free."""
    view = View(state, now, config)
    out: dict[str, Samples] = {name: [] for name in GAUGES if name != "leader"}
    for node in state.nodes.values():
        for name, value in _of_node(view, node):
            out[name].append(((node.name,), value))
        out["node_state"] += [((node.name, word), float(word == _state(node, now))) for word in STATES]
    for resident in state.residents.values():
        labels = (resident.node, resident.model)
        out["resident_bytes"].append((labels, resident.bytes))
        out["resident_slots"].append((labels, resident.profile.slots))
        out["resident_in_flight"].append((labels, resident.in_flight))
    for line in state.lines.values():
        out["queue_depth"].append(((line.model,), line.waiting))
        out["queue_wait_seconds"].append(((line.model,), max(now - line.since, 0.0)))
    return out


STATES = ("up", "down", "quarantined", "draining")


def _state(node: Node, now: float) -> str:
    if not node.healthy:
        return "down"
    if node.quarantined_until > now:
        return "quarantined"
    return "draining" if node.draining else "up"


def _of_node(view: View, node: Node) -> Iterator[tuple[str, float]]:
    residents, doing = view.on(node.name), node.busy_with
    loads = doing is not None and doing.kind == "load"
    yield "residents", len(residents)
    yield "vram_used_bytes", sum(r.bytes for r in residents)
    yield "vram_spilled_bytes", sum(r.spilled_bytes for r in residents)
    yield "vram_reserved_bytes", doing.bytes if doing is not None else 0
    yield "loads_in_progress", int(loads)
    if node.vram_bytes < UNKNOWN_VRAM:
        free = max(view.free(node), 0)
        yield "vram_total_bytes", node.vram_bytes
        yield "vram_free_bytes", free
        yield "vram_fragmentation_ratio", stranded(view, node, free) / max(node.vram_bytes, 1)


def stranded(view: View, node: Node, free: int) -> int:
    """Bytes that are free while models wait that could go there and are all too large for them."""
    needs = [
        _need(view, node, model, line)
        for line in view.state.lines.values()
        if (model := view.state.models.get(line.model)) is not None and view.may_load(node, model)
    ]
    return free if needs and min(needs) > free else 0


def _need(view: View, node: Node, model: Model, line: Line) -> int:
    profile = context.profile(model, node, max(line.num_ctx, context.usual(model)))
    return packing.need(model, model.digests[node.name], profile, view.state.stats, view.config)

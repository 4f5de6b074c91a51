"""Rows as the values that policy decides on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from scheduler.models.catalog import SERIAL_FAMILIES, CatalogModel, ModelOnNode
from scheduler.models.digests import Copy, canonical
from scheduler.models.measurement import Measurement
from scheduler.models.node import Node
from scheduler.policy import state as policy
from scheduler.policy.config import DEFAULT
from scheduler.policy.state import Footprint, Measured, Model, Profile, State, Stats

UNKNOWN_VRAM = 2**62  # bytes: nobody told
NEVER = float("inf")
InFlight = Mapping[tuple[str, str], tuple[int, float]]  # by (node, model): how many, and the last use


def model_of(model: CatalogModel, copies: list[ModelOnNode], nodes: Mapping[int, Node]) -> Model:
    """A catalogue entry as policy sees it. Sizes are those of the digest that its name means."""
    held = [Copy(node=nodes[c.node_id].name, digest=c.digest, modified_at=c.modified_at) for c in copies]
    right = canonical(held)
    original = next(copy for copy in copies if copy.digest == right)
    serial = model.is_embedding_only or model.family in SERIAL_FAMILIES
    return Model(
        name=model.name,
        digests={copy.node: copy.digest for copy in held},
        weights_bytes=original.size_bytes,
        shape=original.shape,
        trained_ctx=model.largest_ctx,
        num_ctx=model.default_ctx,
        buckets=tuple(model.buckets),
        max_slots=1 if serial else model.slots,
        may_spill=model.on_spill != CatalogModel.OnSpill.REFUSE,
    )


def footprints(measured: Iterable[Measurement]) -> dict[Footprint, Measured]:
    """What each footprint took: the largest of its nodes, and how far apart they are."""
    sizes: dict[Footprint, list[Measurement]] = defaultdict(list)
    for row in measured:
        if row.size_bytes:
            sizes[Footprint(row.digest, row.num_ctx, row.slots, row.kv_type)].append(row)
    return {print_: _merged(rows) for print_, rows in sizes.items()}


def _merged(rows: list[Measurement]) -> Measured:
    sizes = [row.size_bytes for row in rows]  # equal to size_vram where nothing spilled
    largest = max(sizes)
    return Measured(
        bytes=largest, error=(largest - min(sizes)) / largest, samples=sum(row.samples for row in rows)
    )


def published_state(in_flight: InFlight) -> State:
    """Nodes, models and residents as the rows have them: what the leading scheduler published last. Without
    lines, pins and wishes, and without its forecast."""
    nodes = list(Node.objects.enabled())
    models = _models({node.pk: node for node in nodes})
    measured = list(Measurement.objects.filter(node__in=[node.name for node in nodes]))
    residents = [
        _resident(node.name, held, models.get(held["model"]), in_flight)
        for node in nodes
        for held in node.scene.get("residents", ())
    ]
    load_s = {(row.node, row.digest): row.load_s for row in measured if row.load_s is not None}
    return State(
        nodes={node.name: _node(node) for node in nodes},
        models=models,
        residents={(each.node, each.model): each for each in residents},
        lines={},
        stats=Stats(
            footprints=footprints(measured),
            load_s={
                (node, model.name): load_s[node, digest]
                for model in models.values()
                for node, digest in model.digests.items()
                if (node, digest) in load_s
            },
        ),
    )


def _models(nodes: Mapping[int, Node]) -> dict[str, Model]:
    copies: dict[int, list[ModelOnNode]] = defaultdict(list)
    for copy in ModelOnNode.objects.filter(node_id__in=nodes, remote_host=""):
        copies[copy.model_id].append(copy)
    entries = [model for model in CatalogModel.objects.enabled() if copies[model.pk]]
    return {model.name: model_of(model, copies[model.pk], nodes) for model in entries}


def _node(node: Node) -> policy.Node:
    free = sum(int(gpu["free"]) for gpu in node.gpus) if node.gpus else None
    return policy.Node(
        name=node.name,
        vram_bytes=node.vram_total or UNKNOWN_VRAM,
        free_bytes=free,
        healthy=node.state in (Node.State.UP, Node.State.QUARANTINED),
        quarantined_until=NEVER if node.state == Node.State.QUARANTINED else 0.0,
        draining=node.draining,
        slots=node.parallel,
        kv_type=node.kv_type,
        load_gbps=node.load_gbps or DEFAULT.load_gbps,
    )


def _resident(
    node: str, held: Mapping[str, Any], model: Model | None, in_flight: InFlight
) -> policy.Resident:
    """Of what scheduler.residency.scene wrote into the node's row."""
    name, loaded_at = str(held["model"]), float(held["loaded_at"])
    running, last_used = in_flight.get((node, name), (0, loaded_at))
    return policy.Resident(
        node=node,
        model=name,
        digest=model.digests.get(node, "") if model else "",
        profile=Profile(num_ctx=held["num_ctx"], slots=held["slots"], kv_type=held["kv_type"]),
        bytes=held["bytes"],
        measured=True,
        spilled_bytes=held["spilled_bytes"],
        in_flight=running,
        last_used=last_used,
        loaded_at=loaded_at,
        load_s=held["load_s"],
        cause=held["cause"],
    )

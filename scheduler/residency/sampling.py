"""Samples of every node's VRAM, one a minute, for reports: what lay there, what was free and of no use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scheduler.models import NodeSample
from scheduler.policy import context, packing, pins
from scheduler.policy.config import Config
from scheduler.policy.state import Model, Node, Resident, State
from scheduler.policy.view import View
from scheduler.residency.assemble import UNKNOWN_VRAM
from scheduler.residency.rows import Reading

EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A record for the recorder; `columns` are NodeSample's."""

    node: str
    at: datetime
    columns: Mapping[str, Any]

    def write(self) -> None:
        NodeSample.objects.get_or_create(node=self.node, at=self.at, defaults=dict(self.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a State does not say: who pays for which pin, readings of the GPUs, models by recent demand."""

    teams: Mapping[str, str]  # by name of the pinning policy
    readings: Mapping[str, Reading]
    demanded: Sequence[str]  # the most asked for first


class Sampling:
    """Says when the next samples are due: at the turn of each minute."""

    def __init__(self) -> None:
        self._minute = -1

    def due(self, now: float) -> bool:
        minute = int(now // EVERY_S)
        if minute == self._minute:
            return False
        self._minute = minute
        return True


def samples(state: State, now: float, config: Config, beside: Beside) -> list[Sampled]:
    """One for each node. Pure."""
    view = View(state, now, config)
    pinned = pin_names(view)
    at = datetime.fromtimestamp(now, UTC)
    return [
        Sampled(node=node.name, at=at, columns=_columns(view, node, pinned, beside))
        for node in state.nodes.values()
    ]


def pin_names(view: View) -> dict[tuple[str, str], str]:
    """By (node, model), the policy that keeps the resident: the first in order of priority."""
    found: dict[tuple[str, str], str] = {}
    for pin in view.state.pins:
        for place in pins.protected([pin], view.by_model):
            found.setdefault(place, pin.name)
    return found


def _columns(view: View, node: Node, pinned: Mapping[tuple[str, str], str], beside: Beside) -> dict[str, Any]:
    residents = view.on(node.name) if node.healthy else []
    known = node.vram_bytes < UNKNOWN_VRAM
    free = max(view.free(node), 0) if known else 0
    wanted = wanted_on(view, node, beside.demanded)
    reading = beside.readings.get(node.name)
    return {
        "up": node.healthy and node.quarantined_until <= view.now,
        "total_bytes": node.vram_bytes if known else 0,
        "used_bytes": sum(r.bytes for r in residents),
        "reserved_bytes": node.busy_with.bytes if node.busy_with else 0,
        "free_bytes": free,
        "spilled_bytes": sum(r.spilled_bytes for r in residents),
        "stranded_bytes": free if wanted and known and _need(view, node, wanted) > free else 0,
        "wanted": wanted.name if wanted else "",
        "in_flight": sum(r.in_flight for r in residents),
        "waiting": sum(
            line.waiting
            for line in view.state.lines.values()
            if (model := view.state.models.get(line.model)) and node.name in model.digests
        ),
        "watts": reading.watts if reading else None,
        "residents": [_resident(view, r, pinned.get((r.node, r.model), ""), beside) for r in residents],
    }


def wanted_on(view: View, node: Node, demanded: Iterable[str]) -> Model | None:
    """The next demanded model: of those that are not resident here and could be, the one whose line has
    waited longest, or else the one that was asked for most of late."""
    lines = sorted(view.state.lines.values(), key=lambda line: line.since)
    here = {resident.model for resident in view.on(node.name)}
    for name in (*(line.model for line in lines), *demanded):
        model = view.state.models.get(name)
        if model is not None and name not in here and node.name in model.digests:
            return model
    return None


def _need(view: View, node: Node, model: Model) -> int:
    line = view.state.lines.get(model.name)
    profile = context.profile(model, node, max(line.num_ctx if line else 0, context.usual(model)))
    return packing.need(model, model.digests[node.name], profile, view.state.stats, view.config)


def _resident(view: View, resident: Resident, pin: str, beside: Beside) -> dict[str, Any]:
    model, profile = view.state.models.get(resident.model), resident.profile
    return {
        "model": resident.model,
        "bytes": resident.bytes,
        "spilled": resident.spilled_bytes,
        "predicted": packing.predicted(model, profile) if model else None,
        "kv": packing.kv_bytes(model.shape, profile) if model and model.shape else None,
        "num_ctx": profile.num_ctx,
        "slots": profile.slots,
        "kv_type": profile.kv_type,
        "in_flight": resident.in_flight,
        "pin": pin,
        "team": beside.teams.get(pin, ""),
    }

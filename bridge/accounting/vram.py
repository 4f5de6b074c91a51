"""VRAM samples into sums by hour and by day, written with the costs of the hour."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bridge.accounting import days
from bridge.models import VramRollup
from bridge.models.rollups import HOUR
from scheduler.models import NodeSample

ADDED = (
    *("samples", "up", "bytes", "total_bytes", "free_bytes", "stranded_bytes", "spilled_bytes"),
    *("predicted_bytes", "measured_bytes", "kv_bytes", "stranded", "pressed", "pinned", "waiting"),
)
LARGEST = ("most_in_flight", "most_ctx", "most_slots", "kv_type")


def added(hour: datetime, samples: Iterable[NodeSample]) -> list[VramRollup]:
    """The rows of an hour."""
    rows: dict[tuple[str, str], VramRollup] = {}

    def row(node: str, model: str) -> VramRollup:
        return rows.setdefault(
            (node, model), VramRollup(span=HOUR, start=hour, node=node[:64], model=model[:255])
        )

    for sample in samples:
        _add_node(row(sample.node, ""), sample)
        for held in sample.residents:
            _add_resident(row(sample.node, held["model"]), held, sample)
    return list(rows.values())


def _add_node(row: VramRollup, sample: NodeSample) -> None:
    row.samples += 1
    row.up += sample.up
    row.bytes += sample.used_bytes
    row.total_bytes += sample.total_bytes
    row.free_bytes += sample.free_bytes
    row.stranded_bytes += sample.stranded_bytes
    row.spilled_bytes += sample.spilled_bytes
    row.stranded += sample.stranded_bytes > 0
    row.pressed += bool(sample.wanted) and (sample.stranded_bytes > 0 or not sample.free_bytes)
    row.waiting += sample.waiting
    row.most_in_flight = max(row.most_in_flight, sample.in_flight)


def _add_resident(row: VramRollup, held: dict[str, Any], sample: NodeSample) -> None:
    row.samples += 1
    row.bytes += held["bytes"]
    row.total_bytes += sample.total_bytes
    row.spilled_bytes += held["spilled"]
    if held["predicted"]:
        row.predicted_bytes += held["predicted"]
        row.measured_bytes += held["bytes"] + held["spilled"]
    row.kv_bytes += held["kv"] or 0
    row.pinned += bool(held["pin"])
    row.waiting += sample.waiting
    row.most_in_flight = max(row.most_in_flight, held["in_flight"])
    row.most_ctx = max(row.most_ctx, held["num_ctx"])
    row.most_slots = max(row.most_slots, held["slots"])
    row.kv_type = held["kv_type"]


def write(hour: datetime, samples: Iterable[NodeSample]) -> None:
    """Replace the rows of the hour and of its day."""
    VramRollup.objects.filter(span=HOUR, start=hour).delete()
    VramRollup.objects.bulk_create(added(hour, samples), batch_size=200)
    days.fold(VramRollup, hour.replace(hour=0), by=("node", "model"), added=ADDED, largest=LARGEST)

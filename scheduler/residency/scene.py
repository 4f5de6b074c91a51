"""What the scheduler sees on a node, for people: residents, and what it is doing there. Pure.

It goes into the node's row whenever it changes, so that pages of any process can show it. What changes with
each request (in flight, last use) is on the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.policy import packing
from scheduler.policy.state import Action, Node, Resident
from scheduler.policy.view import View

Scene = Mapping[str, Any]


def scene(view: View, node: Node) -> Scene:
    """A value for JSON. Bytes are bytes, times are Unix seconds."""
    residents = sorted(view.on(node.name), key=lambda r: (r.loaded_at, r.model))
    return {
        "residents": [_resident(view, resident) for resident in residents],
        "doing": _doing(node.busy_with) if node.busy_with else None,
    }


def _resident(view: View, resident: Resident) -> Scene:
    model, profile = view.state.models.get(resident.model), resident.profile
    return {
        "model": resident.model,
        "bytes": resident.bytes,
        "predicted_bytes": packing.predicted(model, profile) if model else None,
        "spilled_bytes": resident.spilled_bytes,
        "num_ctx": profile.num_ctx,
        "slots": profile.slots,
        "kv_type": profile.kv_type,
        "loaded_at": round(resident.loaded_at, 1),
        "load_s": None if resident.load_s is None else round(resident.load_s, 2),
        "cause": resident.cause,
        "used": resident.used,
        "pinned": (resident.node, resident.model) in view.pinned(),
        "accepting": resident.accepting,
        "wanted_by": resident.wanted_by,
    }


def _doing(action: Action) -> Scene:
    return {
        "kind": action.kind,
        "model": action.model,
        "since": round(action.since, 1),
        "until": None if action.until is None else round(action.until, 1),
        "bytes": action.bytes,
        "num_ctx": action.num_ctx,
    }


class Shown:
    """Which scenes are in the rows already."""

    def __init__(self) -> None:
        self._shown: dict[str, Scene] = {}

    def changed(self, view: View) -> dict[str, Scene]:
        """By node, the scenes that differ from those of the last call."""
        now = {node.name: scene(view, node) for node in view.state.nodes.values()}
        changed = {name: each for name, each in now.items() if self._shown.get(name) != each}
        self._shown = now
        return changed

    def forget(self) -> None:
        """Another scheduler wrote the rows meanwhile."""
        self._shown = {}

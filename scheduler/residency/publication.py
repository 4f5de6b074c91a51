"""What the board is shown: the residents that requests may sit on."""

from __future__ import annotations

from typing import Literal

from scheduler.board.interface import Resident
from scheduler.residency.fleet import Fleet

Cause = Literal["demand", "prefetch", "pin", "operator", "found"]
CAUSES: dict[str, Cause] = {"prefetch": "prefetch", "pin": "pin", "operator": "operator", "found": "found"}
STUB_SLOTS = 64  # at once through one node; who runs the model elsewhere has limits of its own


def published(fleet: Fleet) -> list[Resident]:
    """Residents of nodes that answer, and stubs. Nobody new sits on a node that is being emptied."""
    draining = {row.name for row in fleet.rows.nodes.values() if row.draining}
    loaded = [
        Resident(
            node=r.node,
            model=r.model,
            num_ctx=r.profile.num_ctx,
            slots=r.profile.slots - ((r.node, r.model) in fleet.warming),  # a replay has one
            options=r.profile.runner_options(),
            bytes=r.bytes,
            accepting=r.accepting and r.node not in draining,
            cause=CAUSES.get(r.cause, "demand"),
        )
        for r in fleet.reachable()
    ]
    stubs = [
        Resident(
            node=stub.node,
            model=stub.model,
            num_ctx=stub.num_ctx,
            slots=STUB_SLOTS,
            accepting=stub.node not in draining,
            cause="found",
        )
        for stub in fleet.rows.stubs
        if fleet.sights[stub.node].up
    ]
    return loaded + stubs

"""Out of VRAM: drain, unload, confirm."""

from __future__ import annotations

import asyncio
import logging

from scheduler.board.interface import BoardDown
from scheduler.nodes.errors import NodeTimeout
from scheduler.policy.state import Resident
from scheduler.residency import outcomes
from scheduler.residency.lead import Deposed
from scheduler.residency.means import Means

log = logging.getLogger(__name__)

LOOK_S = 0.05  # between looks at a resident that runs empty


class StillBusy(RuntimeError):
    """A resident did not run empty in time."""


async def clear(means: Means, node: str, model: str, cause: str, reason: str) -> None:
    """Take a resident out; when that fails it serves again.

    Raises StillBusy, NodeFailure, Deposed, BoardDown.
    """
    fleet = means.fleet
    resident = fleet.book.get(node, model)
    if resident is None:
        return
    began = fleet.clock()
    resident.accepting = False
    try:
        await means.publish()
        await _run_empty(means, resident)
        await means.lead.confirm()
        fleet.book.leaving.add((node, model))
        await means.client(node).unload(model, deadline_s=fleet.pace.unload_s)
    except BaseException as error:
        if isinstance(error, NodeTimeout):
            fleet.book.late[node, model] = cause
        await _keep(means, resident, error)
        raise
    finally:
        fleet.book.leaving.discard((node, model))
    fleet.book.unloaded(node, model, fleet.clock())
    seconds = fleet.clock() - began
    means.record(outcomes.evicted(resident, cause, reason, seconds))
    log.info("%s is out of %s after %.2f s (%s).", model, node, seconds, cause)


async def _run_empty(means: Means, resident: Resident) -> None:
    """Wait until nobody generates on it. The board gives no seat of it any more."""
    until = means.fleet.clock() + means.fleet.pace.drain_s
    while True:
        loads = await means.board.loads()
        running = sum(x.in_flight for x in loads if (x.node, x.model) == (resident.node, resident.model))
        if not running:
            return
        if means.fleet.clock() >= until:
            raise StillBusy(f"{resident.model} still runs {running} requests")
        await asyncio.sleep(LOOK_S)


async def _keep(means: Means, resident: Resident, error: BaseException) -> None:
    """The eviction did not happen: the resident serves again."""
    resident.accepting, resident.wanted_by = True, None
    if not isinstance(error, Exception):
        return  # cancelled: whoever leads next publishes
    means.record(outcomes.not_evicted(resident, error))
    if not isinstance(error, Deposed | BoardDown):
        await means.publish()

"""One look at everything, for commands: the fleet as a worker that starts now would see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from scheduler.residency.fleet import Fleet
from scheduler.residency.pace import Pace
from scheduler.residency.records import Record
from scheduler.residency.rows import Reading, Rows
from scheduler.residency.watch import Watch


class _Nowhere:
    """A look leaves no trace."""

    def start(self) -> None:
        pass

    def put(self, record: Record) -> None:
        pass

    def stop(self, timeout_s: float = 0.0) -> None:
        pass


async def survey(rows: Rows, readings: Mapping[str, Reading]) -> Fleet:
    """Look at every node once. The fleet's clients are closed; what was seen stays."""
    fleet = Fleet(pace=Pace(), clock=time.time, recorder=_Nowhere())
    await fleet.take_rows(rows)
    fleet.readings = readings
    watch = Watch(fleet, leads=lambda: False, changed=lambda: None, renew=lambda resident: None)
    await asyncio.gather(*(watch.look(name) for name in list(fleet.clients)))
    await fleet.aclose()
    for resident in fleet.book.residents.values():
        resident.loaded_at = 0.0  # nobody here knows; it was not loaded a moment ago
    return fleet

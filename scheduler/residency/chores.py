"""What the worker does now and then with the database: rows, catalogue, GPUs, what operators ask for.

A database that is away stops none of it for good: it is said once, what was read last stays in use, and the
next turn tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from django.db import DatabaseError, InterfaceError

from scheduler.nodes.client import NodeClient
from scheduler.nodes.errors import NodeFailure
from scheduler.residency.fleet import Fleet
from scheduler.residency.likely import Likely
from scheduler.residency.operators import Operators
from scheduler.residency.source import Source
from scheduler.residency.warming import Warming

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


class Chores:
    """Loops for a supervisor to run. Only the leader syncs, reads GPUs and serves operators."""

    def __init__(
        self,
        fleet: Fleet,
        source: Source,
        operators: Operators,
        warming: Warming,
        likely: Likely,
        *,
        leads: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._fleet = fleet
        self._source = source
        self._operators = operators
        self._warming = warming
        self._likely = likely
        self._leads = leads
        self._changed = changed
        self._known: int | None = None  # revision of the rows in use
        self._stock: dict[str, frozenset[tuple[str, str]]] = {}  # by node: the names and digests it listed
        self._away: set[str] = set()  # chores that met a database that is away

    def loops(self) -> dict[str, Work]:
        """By name, each for ever."""
        pace = self._fleet.pace
        return {
            "rows": lambda: self._every("rows", pace.rows_s, self.read_rows, leader=False),
            "operators": lambda: self._every("operators", pace.operator_s, self._operators.look),
            "catalogue": lambda: self._every("catalogue", pace.sync_s, self._source.sync),
            "stock": lambda: self._every("stock", pace.stock_s, self.look_at_stock),
            "likely": lambda: self._every("likely", pace.likely_s, self._likely.tell),
            "warms": lambda: self._every("warms", pace.warm_s, self._warming.settle),
            "gpus": lambda: self._every("gpus", pace.gpus_s, self._source.look_at_gpus),
        }

    def forget(self) -> None:
        """Read the rows again whatever their revision: measurements of the leader before came without one."""
        self._known = None

    async def read_rows(self) -> None:
        """Take over what changed since the last reading."""
        rows = await self._source.rows(self._known)
        if rows is not None:
            await self._fleet.take_rows(rows)
            self._known = rows.number
            self._changed()
        self._fleet.readings = await self._source.readings()

    async def look_at_stock(self) -> None:
        """Read the catalogue at once when some node's models changed, whoever pulled or deleted them."""
        clients = dict(self._fleet.clients)
        up = [name for name in clients if (sight := self._fleet.sights.get(name)) is not None and sight.up]
        listed = await asyncio.gather(*(stock_of(clients[name]) for name in up))
        stock = {name: seen for name, seen in zip(up, listed, strict=True) if seen is not None}
        moved = any(self._stock.get(name) != seen for name, seen in stock.items())
        self._stock = {name: seen for name, seen in (self._stock | stock).items() if name in clients}
        if moved:
            await self._source.sync()

    async def _every(self, name: str, seconds: float, work: Work, *, leader: bool = True) -> None:
        while True:
            idle = leader and not self._leads()
            if not idle:
                await self._try(name, work)
            await asyncio.sleep(self._fleet.pace.standby_s if idle else seconds)

    async def _try(self, name: str, work: Work) -> None:
        try:
            await work()
        except (DatabaseError, InterfaceError) as error:
            if name not in self._away:
                log.warning("The database is away; %s stay as they were: %s", name, str(error).strip())
            self._away.add(name)
        else:
            if name in self._away:
                log.info("The database is back; %s are current again.", name)
            self._away.discard(name)


async def stock_of(client: NodeClient) -> frozenset[tuple[str, str]] | None:
    """Names and digests of what the node holds; None when it does not say now."""
    try:
        return frozenset((model.name, model.digest) for model in await client.tags())
    except NodeFailure:
        return None

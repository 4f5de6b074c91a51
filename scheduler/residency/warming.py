"""Warming, live: prefixes are replayed on idle slots, and the ledger gets to read what that saved.

A replay takes one slot of its resident off the board while it runs, so that no request is seated behind it.
It is given up at once when somebody has to wait for the model, or when the node is to do something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.board.interface import BoardDown
from scheduler.nodes.client import Warmed
from scheduler.nodes.errors import NodeFailure
from scheduler.policy import warming
from scheduler.policy.decisions import Decision, Evict, Load
from scheduler.policy.state import Resident
from scheduler.policy.view import View
from scheduler.policy.warming import Replayed, Warm
from scheduler.residency import outcomes
from scheduler.residency.lead import Deposed
from scheduler.residency.means import Means
from scheduler.residency.prefixes import Prefix
from scheduler.residency.rows import keep_alive
from scheduler.residency.source import Source

log = logging.getLogger(__name__)

Where = tuple[str, str]  # node, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A replay of which nobody knows yet whether it helped."""

    warm: Warm
    loaded_at: float  # of the resident
    since: float
    replayed: Replayed


class Warming:
    """Owned by the event loop of the leader."""

    def __init__(self, means: Means, source: Source) -> None:
        self._means = means
        self._source = source
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by node
        self._done: dict[Where, tuple[float, set[int]]] = {}
        self._open: list[Open] = []

    def look(self, view: View, decisions: Iterable[Decision]) -> None:
        """After a round was decided: give way, and begin what may be begun."""
        self._give_way(view, decisions)
        fleet = self._means.fleet
        self._done = {where: each for where, each in self._done.items() if where in fleet.book.residents}
        prefixes = {model: [p.id for p in known] for model, known in fleet.rows.prefixes.items()}
        for warm in warming.warms(view, prefixes, self._done, self._tasks.keys()):
            resident = fleet.book.get(warm.node, warm.model)
            known = next((p for p in fleet.rows.prefixes.get(warm.model, ()) if p.id == warm.prefix), None)
            if resident is not None and known is not None:
                self._tasks[warm.node] = asyncio.create_task(
                    self._run(warm, resident, known), name=f"warm-{warm.node}"
                )

    def cancel(self) -> None:
        """Another scheduler leads, or this one stops."""
        for task in list(self._tasks.values()):
            task.cancel()
        self._done.clear()
        self._open.clear()

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Ask the records of requests what replays saved. Raises what the database raises."""
        for each in list(self._open):
            warm = each.warm
            reads = await self._source.reads(warm.node, warm.model, each.since, warming.FEW)
            saved_s = warming.gained(each.replayed, reads)
            resident = self._means.fleet.book.get(warm.node, warm.model)
            gone = resident is None or resident.loaded_at != each.loaded_at
            if (saved_s is not None or gone or len(reads) >= warming.FEW) and each in self._open:
                self._open.remove(each)
                self._means.record(outcomes.warm_ended(warm, saved_s))

    # ---- inside

    def _give_way(self, view: View, decisions: Iterable[Decision]) -> None:
        acting = {d.node for d in decisions if isinstance(d, Load | Evict)} | self._means.fleet.busy.keys()
        wanted = {node for node, model in self._means.fleet.warming if model in view.state.lines}
        for node in (acting | wanted) & self._tasks.keys():
            self._tasks[node].cancel()

    async def _run(self, warm: Warm, resident: Resident, prefix: Prefix) -> None:
        where, fleet = (warm.node, warm.model), self._means.fleet
        fleet.warming.add(where)
        try:
            await self._means.publish()
            if await self._still_idle(resident):
                self._note(warm, resident, await self._replay(warm, resident, prefix))
        except (Deposed, BoardDown, NodeFailure) as error:
            log.warning("A prefix of %s could not be warmed on %s: %s", warm.model, warm.node, error)
            self._mark(warm, resident)  # not again and again
        finally:
            fleet.warming.discard(where)
            self._tasks.pop(warm.node, None)
            with contextlib.suppress(Deposed, BoardDown):
                await self._means.publish()

    async def _still_idle(self, resident: Resident) -> bool:
        """The board has given no seat meanwhile that would be the last free one."""
        loads = await self._means.board.loads()
        running = sum(x.in_flight for x in loads if (x.node, x.model) == (resident.node, resident.model))
        return warming.has_idle(resident.profile.slots, running)

    async def _replay(self, warm: Warm, resident: Resident, prefix: Prefix) -> Warmed:
        await self._means.lead.confirm()
        return await self._means.client(warm.node).warm(
            f"/api/{prefix.route}",
            prefix.body(resident.profile, keep_alive()),
            deadline_s=self._means.fleet.pace.warm_most_s,
        )

    def _mark(self, warm: Warm, resident: Resident) -> None:
        loaded_at, known = self._done.get((warm.node, warm.model), (0.0, set()))
        known = known if loaded_at == resident.loaded_at else set()
        self._done[warm.node, warm.model] = (resident.loaded_at, known | {warm.prefix})

    def _note(self, warm: Warm, resident: Resident, warmed: Warmed) -> None:
        self._mark(warm, resident)
        there = warmed.cached_tokens >= warming.NEARLY * warmed.prompt_tokens
        self._means.record(outcomes.warmed(warm, warmed, there=there))
        log.info("A prefix of %s is warm on %s: %d tokens.", warm.model, warm.node, warmed.prompt_tokens)
        if not there:
            replayed = Replayed(
                tokens=warmed.prompt_tokens - warmed.cached_tokens, seconds=warmed.prompt_eval_s
            )
            since = self._means.fleet.clock()
            self._open.append(Open(warm=warm, loaded_at=resident.loaded_at, since=since, replayed=replayed))

"""Looking at nodes: one task for each, so that a slow one delays nobody."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from scheduler.nodes.errors import NodeDown, NodeFailure
from scheduler.nodes.replies import RunningModel
from scheduler.policy.state import Resident
from scheduler.residency import assemble, outcomes
from scheduler.residency.book import Changes
from scheduler.residency.fleet import Fleet
from scheduler.residency.records import NodeMissed, NodeSeen, Record, Throttle
from scheduler.residency.rows import keep_alive

log = logging.getLogger(__name__)

SEEN_S = 10.0  # between writes of "the node was seen"
FOR_EVER = -1


class Watch:
    """Keeps sights and book in line with what nodes answer. `changed` is called when a decision may differ,
    `renew` with residents whose keep_alive runs out."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        leads: Callable[[], bool],
        changed: Callable[[], None],
        renew: Callable[[Resident], object],
    ) -> None:
        self._fleet = fleet
        self._leads = leads
        self._changed = changed
        self._renew = renew
        self._seen = Throttle(SEEN_S)

    async def node(self, name: str) -> None:
        """Look at one node for ever; ends when it left the table."""
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 -- spreads the first looks of many nodes
        while name in self._fleet.clients:
            await self.look(name)
            await asyncio.sleep(self._pause(name))

    def _pause(self, name: str) -> float:
        sight, pace = self._fleet.sights.get(name), self._fleet.pace
        if sight is None or sight.up:
            return pace.observe_s
        return min(max(sight.look_at - self._fleet.clock(), 0.01), pace.probe_most_s)

    async def look(self, name: str) -> None:
        """One look; none at a node that left the table."""
        fleet = self._fleet
        client, sight = fleet.clients.get(name), fleet.sights.get(name)
        if client is None or sight is None:
            return
        asked_at = fleet.clock()
        patience = fleet.pace.ps_s * (3.0 if fleet.loads_now(name) else 1.0)
        try:
            if asked_at - sight.version_at >= fleet.pace.version_s or not sight.up:
                sight.version = await client.version()
                sight.version_at = asked_at
            running = await client.ps(patience)
        except NodeFailure as error:
            if fleet.clients.get(name) is client:
                self._missed(name, error)
            return
        if fleet.clients.get(name) is client:
            self._answered(name, running, asked_at)

    def tell(self) -> None:
        """Write down how each node is: another scheduler did so until now."""
        for name, sight in self._fleet.sights.items():
            if sight.up:
                self._write(NodeSeen(node=name, version=sight.version))
            elif sight.seen:
                self._write(NodeMissed(node=name, error=sight.error))

    def _missed(self, name: str, error: NodeFailure) -> None:
        fleet, sight = self._fleet, self._fleet.sights[name]
        first = not sight.seen
        fell = sight.missed(
            error.text,
            hard=isinstance(error, NodeDown),
            loading=fleet.loads_now(name),
            now=fleet.clock(),
            pace=fleet.pace,
        )
        if fell or first:
            gone = fleet.book.drop_node(name)
            log.warning("%s is down, with %d residents: %s", name, len(gone), error.text)
            self._write(NodeMissed(node=name, error=error.text))
            self._changed()

    def _answered(self, name: str, running: list[RunningModel], asked_at: float) -> None:
        fleet, sight = self._fleet, self._fleet.sights[name]
        first, back = not sight.seen, sight.answered()
        sight.gpu_seen = sight.gpu_seen or any(line.size_vram for line in running)
        if back:
            self._came_back(name, first)
        if self._seen.lets(name) or back:
            self._write(NodeSeen(node=name, version=sight.version))
        changes = fleet.book.reconcile(
            name,
            running,
            asked_at=asked_at,
            now=fleet.clock(),
            loading=fleet.busy[name].model if fleet.loads_now(name) else None,
            adopt=lambda line: assemble.adopted_profile(fleet.rows, name, line),
        )
        self._note(changes)
        if changes or back:
            self._changed()
        self._hold(name, running)

    def _came_back(self, name: str, first: bool) -> None:
        fleet = self._fleet
        fleet.failures.clear(name)
        if first:
            log.info("%s answers (Ollama %s).", name, fleet.sights[name].version)
            return
        fleet.sights[name].proved()  # it was started anew: whatever hung is gone
        log.info("%s is back.", name)
        self._write(*outcomes.recovered(name, "It answers again."))

    def _note(self, changes: Changes) -> None:
        for resident in changes.found:
            log.info("%s was found on %s.", resident.model, resident.node)
            self._write(outcomes.found(resident))
        for resident in changes.vanished:
            cause = self._fleet.book.late.pop((resident.node, resident.model), "")
            if cause:
                log.info("%s is gone from %s, later than expected.", resident.model, resident.node)
                self._write(outcomes.evicted_late(resident, cause))
                continue
            log.warning("%s is gone from %s, and nobody here unloaded it.", resident.model, resident.node)
            self._write(outcomes.vanished(resident))
        for resident in changes.altered:
            log.warning("%s on %s was reloaded by someone else.", resident.model, resident.node)
            self._write(outcomes.altered(resident))

    def _hold(self, name: str, running: list[RunningModel]) -> None:
        """Ask for the renewal of what the node would unload by itself: when it goes is ours to decide."""
        if keep_alive() != FOR_EVER or not self._leads():
            return
        for line in running:
            resident = self._fleet.book.get(name, line.name)
            if resident and resident.accepting and assemble.will_expire(line, self._fleet.clock()):
                self._renew(resident)

    def _write(self, *records: Record) -> None:
        """Only the leader writes: those who stand by see the same."""
        if self._leads():
            for record in records:
                self._fleet.recorder.put(record)

"""What operators ask for: taken from the table, carried out, answered with an outcome.

1. load, evict: a wish that policy sees in every round until it is fulfilled, or nothing can fulfil it.
2. pin, unpin: a pinning policy of that model is made or taken away; keeping it is policy's work.
3. drain, undrain: the node's row says so; a drain is done when the node holds nothing any more.
4. cancel: what is still open for the same model or node is given up. The cancellation of one request of an
   app is for the bridge that holds it; here comes only what no bridge took.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from scheduler.models import OperatorRequest
from scheduler.policy import pins as pinning
from scheduler.policy.state import Resident, Wish
from scheduler.residency import standing
from scheduler.residency.fleet import Fleet
from scheduler.residency.records import Finished
from scheduler.residency.source import Source

REMEMBERED = 1000  # requests whose outcome may still be on its way into the table


@dataclass(slots=True)
class Open:
    """A request that takes its time."""

    id: int
    kind: str
    model: str
    node: str | None
    since: float

    @property
    def wish(self) -> Wish | None:
        if self.kind == "load":
            return Wish(kind="load", model=self.model, node=self.node)
        return Wish(kind="evict", model=self.model, node=self.node) if self.kind == "evict" else None


class Operators:
    """Owned by the event loop of the leader."""

    def __init__(self, fleet: Fleet, source: Source, *, wake: Callable[[], None]) -> None:
        self._fleet = fleet
        self._source = source
        self._wake = wake
        self._open: dict[int, Open] = {}
        self._closed: deque[int] = deque(maxlen=REMEMBERED)

    async def look(self) -> None:
        """Take what came since the last look."""
        for request in await self._source.requests():
            if request.pk not in self._open and request.pk not in self._closed:
                await self._take(request)
                self._wake()

    def forget(self) -> None:
        """Another scheduler leads: it takes them from the table anew."""
        self._open.clear()

    def wishes(self) -> list[Wish]:
        return [wish for each in self._open.values() if (wish := each.wish) is not None]

    def settle(self) -> None:
        """After a round: close what is fulfilled, and what cannot be."""
        for each in list(self._open.values()):
            state, outcome = self._verdict(each)
            if state:
                self._finish(each.id, state, outcome)

    async def _take(self, request: OperatorRequest) -> None:
        now, kind = self._fleet.clock(), request.kind
        if kind in ("load", "evict"):  # 1
            self._open[request.pk] = Open(request.pk, kind, request.model, request.node or None, now)
        elif kind in ("pin", "unpin"):  # 2
            state, outcome = await self._source.run(lambda: _CHANGES[kind](request.model, request.node))
            self._finish(request.pk, state, outcome)
        elif kind in ("drain", "undrain"):  # 3
            await self._source.run(lambda: standing.drain(request.node, kind == "drain"))
            if kind == "drain":
                self._open[request.pk] = Open(request.pk, kind, "", request.node, now)
            else:
                self._finish(request.pk, "done", f"{request.node} takes new work again.")
        elif request.request_id:
            said = f"No bridge holds {request.request_id}: it had ended, or its bridge is away."
            self._finish(request.pk, "refused", said)
        else:  # 4
            self._cancel(request)

    def _cancel(self, request: OperatorRequest) -> None:
        same = [
            each
            for each in self._open.values()
            if request.model in ("", each.model) and request.node in ("", each.node or "")
        ]
        for each in same:
            self._finish(each.id, "refused", f"Cancelled by {request.asked_by}.")
        self._finish(request.pk, "done", f"{len(same)} open requests cancelled.")

    def _finish(self, request: int, state: str, outcome: str) -> None:
        self._open.pop(request, None)
        self._closed.append(request)
        self._fleet.recorder.put(Finished(request=request, state=state, outcome=outcome))

    # ---- what became of one

    def _verdict(self, each: Open) -> tuple[str, str]:
        """Its final state and outcome; '' while it is open."""
        state, outcome = {"load": self._loaded, "evict": self._evicted, "drain": self._emptied}[each.kind](
            each
        )
        if not state and each.kind != "drain" and self._late(each):
            return "refused", f"Given up after {self._fleet.pace.wish_s:.0f} s."
        return state, outcome

    def _late(self, each: Open) -> bool:
        return self._fleet.clock() - each.since > self._fleet.pace.wish_s

    def _there(self, each: Open) -> list[Resident]:
        residents = self._fleet.book.residents.values()
        return [r for r in residents if each.node in (None, r.node) and each.model in ("", r.model)]

    def _loaded(self, each: Open) -> tuple[str, str]:
        for resident in self._there(each):
            took = (
                f" in {resident.load_s:.1f} s" if resident.load_s and resident.loaded_at >= each.since else ""
            )
            return "done", f"{each.model} is loaded on {resident.node}{took}."
        model = self._fleet.rows.models.get(each.model)
        if model is None:
            return "refused", f"{each.model} is not in the catalogue, or is switched off, or no node has it."
        if each.node is not None and each.node not in model.digests:
            return "refused", f"{each.node} does not have {each.model}. Pull it there first."
        nodes = [each.node] if each.node else list(model.digests)
        said = [self._fleet.failures.detail(node, each.model) for node in nodes]
        blocked = self._fleet.failures.until()
        if all(blocked.get((node, each.model), 0.0) > self._fleet.clock() for node in nodes):
            return "refused", " ".join(dict.fromkeys(said))
        return "", ""

    def _evicted(self, each: Open) -> tuple[str, str]:
        there = self._there(each)
        if not there:
            return "done", f"{each.model} is not loaded{f' on {each.node}' if each.node else ''}."
        by_model = {each.model: [r for r in self._fleet.book.residents.values() if r.model == each.model]}
        pins = self._fleet.rows.pins(self._fleet.clock())
        if {(r.node, r.model) for r in there} <= pinning.protected(pins, by_model):
            names = ", ".join(sorted({pin.name for pin in pins if pin.model == each.model}))
            return "refused", f"{each.model} is kept by {names}. Unpin it first."
        return "", ""

    def _emptied(self, each: Open) -> tuple[str, str]:
        row = self._fleet.rows.nodes.get(each.node or "")
        if row is None:
            return "refused", f"{each.node} is not in the table of enabled nodes."
        if not row.draining:
            return ("", "") if self._fleet.clock() - each.since < SEEN_S else ("refused", "It was undrained.")
        held = self._there(each)
        return ("", "") if held else ("done", f"{each.node} holds nothing and gets no new work.")


SEEN_S = 5.0  # within this, a row that was just written has been read again
_CHANGES = {"pin": standing.pin, "unpin": standing.unpin}

"""Residents and lines in memory: who sits where, who waits for what, and who is next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduler.board import refusals
from scheduler.board.interface import Bounds, InFlight, Line, Place, Refusal, Resident, Seat, Ticket
from scheduler.board.seating import Entry, ModelState, Slots, choose, served, take
from scheduler.policy import backpressure
from scheduler.policy.fairness import FairLine

LINE_NAMES = 64  # keys, and nodes to avoid, that a line names


class Lines:
    """All models. `wake` is called when the scheduler has something new to look at."""

    def __init__(self, bounds: Bounds, wake: Callable[[], None]) -> None:
        self.models: dict[str, ModelState] = {}
        self.loadable: Mapping[str, float | None] | None = None  # None: nothing was published yet
        self.waiting = 0
        self._bounds = bounds
        self._wake = wake

    # -- seats

    def free(self, ticket: Ticket) -> Slots | None:
        """The slot that the ticket may have at once."""
        model = self.models.get(ticket.model)
        return choose(model.slots.values(), ticket) if model is not None else None

    def serves(self, ticket: Ticket) -> bool:
        """Whether it waits for a slot only."""
        model = self.models.get(ticket.model)
        return model is not None and served(model.slots.values(), ticket)

    def holds(self, name: str) -> bool:
        """Whether the model is resident anywhere, in whatever state."""
        model = self.models.get(name)
        return model is not None and any(each.resident is not None for each in model.slots.values())

    def show(self, residents: Mapping[tuple[str, str], Resident], now: float) -> None:
        """Replace the residents, by model and node."""
        for name, model in self.models.items():
            for slots in model.slots.values():
                if (name, slots.node) not in residents:
                    slots.resident = None
        for (name, node), resident in residents.items():
            places = self._model(name).slots
            if node not in places:
                places[node] = Slots(node)
            places[node].show(resident, now)
        for name in list(self.models):
            self._prune(name)

    def _model(self, name: str) -> ModelState:
        model = self.models.get(name)
        if model is None:
            model = self.models[name] = ModelState()
        return model

    def _prune(self, name: str) -> None:
        """Forget what is gone and empty: residents, then the model unless somebody could load it."""
        model = self.models[name]
        for slots in [each for each in model.slots.values() if each.resident is None]:
            if slots.in_flight == 0:
                del model.slots[slots.node]
        if model.idle and not (self.loadable and name in self.loadable):
            del self.models[name]

    def occupy(self, entry: Entry, seat: Seat, now: float) -> None:
        """Count a seat that was given elsewhere, on whatever is there."""
        places = self._model(seat.model).slots
        if seat.node not in places:
            places[seat.node] = Slots(seat.node)
        entry.slots = places[seat.node]
        entry.slots.in_flight += 1
        entry.slots.last_used = now
        entry.slots.fresh = False
        entry.outcome = seat

    # -- the line

    def join(self, entry: Entry, now: float, *, head: bool = False) -> Place:
        """Wait, by fairness or at the head."""
        ticket = entry.ticket
        model = self._model(ticket.model)
        if model.line is None:
            model.line = FairLine(now)
            model.drain = model.drain.resume(now)
            model.since = now
        flow = (ticket.key, ticket.priority)
        entry.cold = not served(model.slots.values(), ticket)
        entry.joined = now
        entry.turn = model.line.join_head(entry, flow) if head else model.line.join(entry, flow, now)
        self.waiting += 1
        self._wake()
        return self.place(entry, now)

    def dispatch(self, name: str, now: float) -> None:
        """Give free slots to those who wait, in fair order; who fits nowhere now lets the next one pass."""
        model = self.models.get(name)
        line = model.line if model is not None else None
        if model is None or line is None:
            return
        for turn in line:
            if not model.free:
                break
            entry = turn.item
            if entry.ticket.deadline <= now:
                self.turn_away(entry, self.too_late(entry, now), now)
                continue
            slots = choose(model.slots.values(), entry.ticket)
            if slots is not None:
                line.serve(turn, now)
                model.drain = model.drain.gave(now)
                self.waiting -= 1
                entry.end(take(entry, slots, now))
        self._close_empty(name, model, now)

    def stand_up(self, entry: Entry, now: float) -> None:
        """Give the slot or the place back. `dispatch` gives the slot on."""
        name = entry.ticket.model
        model = self.models.get(name)
        if entry.turn is not None and model is not None and model.line is not None:
            model.line.leave(entry.turn)
            self.waiting -= 1
            entry.turn = None
            self._close_empty(name, model, now)
        slots, entry.slots = entry.slots, None
        if slots is None:
            return
        slots.in_flight -= 1
        slots.last_used = now
        if slots.resident is None:
            self._prune(name)
        elif slots.in_flight == 0 and not slots.resident.accepting:
            self._wake()

    def _close_empty(self, name: str, model: ModelState, now: float) -> None:
        if model.line is not None and not model.line:
            model.line = None
            model.drain = model.drain.until(now)
            self._prune(name)

    # -- refusals

    def turn_away(self, entry: Entry, refusal: Refusal, now: float) -> None:
        """End a ticket; the refusal is kept until its holder fetches it."""
        self.stand_up(entry, now)
        entry.charge.settle(0)
        entry.end(refusal)

    def crowding(self, ticket: Ticket, now: float) -> refusals.Crowd | None:
        """Why the line takes this ticket not, with the numbers."""
        model = self.models.get(ticket.model)
        waiting = len(model.line) if model is not None and model.line is not None else 0
        reason = backpressure.crowding(
            waiting=waiting,
            waiting_total=self.waiting,
            queue_model=self._bounds.queue_model,
            queue_total=self._bounds.queue_total,
            priority=ticket.priority,
        )
        if reason is None:
            return None
        wait_s = self.wait_s(ticket, waiting + 1, now)
        return refusals.Crowd(reason, waiting, self.waiting, self.retry_after(ticket.model, now), wait_s)

    def too_late(self, entry: Entry, now: float) -> Refusal:
        """The refusal of a ticket whose deadline has come."""
        waited = entry.queued + now - entry.joined
        return refusals.too_late(entry.ticket.id, waited, self.retry_after(entry.ticket.model, now))

    # -- predictions

    def place(self, entry: Entry, now: float) -> Place:
        """Where a waiting ticket stands."""
        name = entry.ticket.model
        model = self.models[name]
        assert model.line is not None, "a ticket without a seat waits"
        assert entry.turn is not None, "a ticket without a seat waits"
        position = model.line.position(entry.turn)
        wait_s = self.wait_s(entry.ticket, position, now)
        return Place(ticket=entry.ticket.id, position=position, wait_s=wait_s, allowance=entry.allowance)

    def wait_s(self, ticket: Ticket, position: int, now: float) -> float | None:
        """Predicted seconds until such a ticket at this position is seated; None rather than a guess."""
        model = self.models.get(ticket.model)
        resident = self.serves(ticket)
        load_s = None if resident else self._load_s(ticket.model, now)
        rate = model.rate(now) if model is not None else None
        return backpressure.predicted_wait(position, rate, load_s, resident=resident)

    def _load_s(self, name: str, now: float) -> float | None:
        """Seconds that an expected load still takes; None when unknown or overdue."""
        seconds = self.loadable.get(name) if self.loadable is not None else None
        model = self.models.get(name)
        if seconds is None or model is None or model.line is None:
            return seconds
        left = seconds - (now - model.since)
        return left if left > 0 else None

    def retry_after(self, name: str, now: float) -> int:
        """Seconds after which a refused request may find room."""
        model = self.models.get(name)
        load_s = None if self.holds(name) else self._load_s(name, now)
        if model is None:
            return backpressure.retry_after(0, None, load_s)
        waiting = len(model.line) if model.line is not None else 0
        return backpressure.retry_after(waiting, model.rate(now), load_s)

    # -- what the scheduler sees

    def waiting_in(self, name: str) -> list[Entry]:
        """Those who wait for the model, next one first."""
        model = self.models.get(name)
        return [turn.item for turn in model.line] if model is not None and model.line is not None else []

    def seen(self, entry: Entry, now: float) -> InFlight:
        """A ticket as those see it who look at all of them."""
        ticket, place = entry.ticket, self.place(entry, now) if entry.turn is not None else None
        return InFlight(
            ticket=ticket.id,
            key=ticket.key,
            model=ticket.model,
            since=entry.admitted,
            node=entry.slots.node if entry.slots is not None else None,
            position=place.position if place else None,
            wait_s=place.wait_s if place else None,
        )

    def demand(self, now: float) -> list[Line]:
        """All lines, oldest first."""
        lines = []
        for name, model in self.models.items():
            if model.line is not None:
                entries = self.waiting_in(name)
                wait_s = self.wait_s(entries[-1].ticket, len(entries), now)
                lines.append(_line(name, entries, wait_s))
        return sorted(lines, key=lambda line: (line.since, line.model))


def _line(name: str, entries: list[Entry], wait_s: float | None) -> Line:
    keys: dict[str, int] = {}
    avoid: list[str] = []
    for entry in entries:
        key = entry.ticket.key
        if key in keys or len(keys) < LINE_NAMES:
            keys[key] = keys.get(key, 0) + 1
        avoid.extend(entry.ticket.avoid)
    return Line(
        model=name,
        waiting=len(entries),
        since=min(entry.admitted for entry in entries),
        num_ctx=max(entry.ticket.num_ctx for entry in entries),
        keys=keys,
        priority=max(entry.ticket.priority for entry in entries),
        avoid=frozenset(sorted(set(avoid))[:LINE_NAMES]),
        wait_s=wait_s,
    )

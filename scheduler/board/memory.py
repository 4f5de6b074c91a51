"""The board of a single process. Everything is decided between two awaits, so every step is atomic."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice

from scheduler.board import refusals
from scheduler.board.accounts import Account
from scheduler.board.interface import (
    Arrival,
    Bounds,
    Budget,
    InFlight,
    Line,
    Load,
    Place,
    Reason,
    Refusal,
    Resident,
    Seat,
    StaleLeader,
    Ticket,
)
from scheduler.board.leases import Leadership, Leases
from scheduler.board.lines import Lines
from scheduler.board.seating import Entry, take

ARRIVALS = 10_000
SWEEP_S = 1.0  # who is overdue or has a dead holder is looked for this often
FORGET_S = 60.0  # and what silent keys left behind, this often


class MemoryBoard:
    """See scheduler.board.interface.Board. `clock` gives Unix seconds."""

    def __init__(self, bounds: Bounds | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._demand = asyncio.Event()
        self._lines = Lines(self._bounds, self._demand.set)
        self._tickets: dict[str, Entry] = {}
        self._accounts: dict[str, Account] = {}
        self._arrivals: deque[tuple[float, Ticket]] = deque(maxlen=ARRIVALS)
        self._leases = Leases(self._bounds.lease_s)
        self._leader = Leadership(self._bounds.lead_s)
        self._swept = self._forgot = self._clock()
        self._closed = False

    # -- bridges

    async def admit(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        now = self._clock()
        known = self._tickets.get(ticket.id)
        if known is not None:
            return self._standing(known, now)
        self._arrivals.append((now, ticket))
        account = self._account(ticket.key)
        over = account.over(ticket, now)
        if over is not None:
            return refusals.over_limit(ticket.id, over, account.allowance(ticket.limits, now))
        slots = self._lines.free(ticket)
        if slots is None or self._closed:
            self._sweep(now)
            refusal = self._closed_to(ticket, now) or self._crowded(ticket, now)
            if refusal is not None:
                return refusal
        charge = account.charge(ticket)
        entry = Entry(ticket, charge, account.allowance(ticket.limits, now), now)
        self._tickets[ticket.id] = entry
        self._leases.open(ticket.holder, now)
        return take(entry, slots, now) if slots is not None else self._lines.join(entry, now)

    async def wait(self, ticket: str, timeout_s: float) -> Seat | Refusal | None:
        """See Board."""
        entry = self._tickets.get(ticket)
        if entry is None:
            return refusals.lost(ticket)
        if entry.outcome is None:
            until = min(timeout_s, entry.ticket.deadline - self._clock())
            if until > 0:
                entry.waiter = entry.waiter or asyncio.get_running_loop().create_future()
                await asyncio.wait((entry.waiter,), timeout=until)
        now = self._clock()
        if entry.outcome is None and entry.ticket.deadline <= now:
            self._lines.turn_away(entry, self._lines.too_late(entry, now), now)
        return self._fetch(entry)

    async def position(self, ticket: str) -> Place | None:
        """See Board."""
        entry = self._tickets.get(ticket)
        waits = entry is not None and entry.turn is not None
        return self._lines.place(entry, self._clock()) if waits and entry is not None else None

    async def move(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        now = self._clock()
        entry = self._tickets.get(ticket.id)
        if entry is None:
            return await self.admit(ticket)
        if isinstance(entry.outcome, Refusal):
            return self._standing(entry, now)
        entry.queued += now - entry.joined if entry.turn is not None else 0.0
        self._lines.stand_up(entry, now)
        entry.ticket, entry.outcome, entry.waiter, entry.joined = ticket, None, None, now
        answer = self._seat_again(entry, now)
        self._lines.dispatch(ticket.model, now)
        return answer

    def _seat_again(self, entry: Entry, now: float, *, kept: bool = False) -> Seat | Place | Refusal:
        """A seat elsewhere, the head of the line, or a refusal (`kept` until it is fetched by `wait`)."""
        slots = self._lines.free(entry.ticket)
        if slots is not None:
            entry.cold = False
            return take(entry, slots, now)
        refusal = self._closed_to(entry.ticket, now)
        if refusal is None and entry.ticket.deadline <= now:
            refusal = self._lines.too_late(entry, now)
        if refusal is None:
            return self._lines.join(entry, now, head=True)
        self._lines.turn_away(entry, refusal, now)
        return refusal if kept else self._standing(entry, now)

    async def settle(self, ticket: str, tokens: int | None) -> None:
        """See Board."""
        entry = self._tickets.pop(ticket, None)
        if entry is not None and not isinstance(entry.outcome, Refusal):
            self._end(entry, tokens or 0, self._clock())

    async def renew(self, holder: str) -> bool:
        """See Board."""
        now = self._clock()
        known = self._leases.renew(holder, now)
        self._sweep(now)
        return known

    async def spent(self, key: str, budget: Budget, tokens: int) -> None:
        """See Board."""
        spending = self._account(key).spending(budget)
        spending.used = max(spending.used, tokens)

    # -- scheduler

    async def lead(self, holder: str) -> int | None:
        """See Board."""
        now = self._clock()
        self._sweep(now)
        return self._leader.lead(holder, now)

    async def resign(self, holder: str) -> None:
        """See Board."""
        self._leader.resign(holder)

    async def publish(
        self, residents: Sequence[Resident], *, loadable: Mapping[str, float | None], epoch: int
    ) -> None:
        """See Board."""
        now = self._clock()
        if epoch < self._leader.epoch:
            raise StaleLeader(f"Epoch {epoch} publishes, but epoch {self._leader.epoch} leads since.")
        self._leader.epoch = epoch
        self._lines.loadable = dict(loadable)
        self._lines.show({(each.model, each.node): each for each in residents}, now)
        self._sweep(now)
        for name in list(self._lines.models):
            self._lines.dispatch(name, now)

    async def refuse(self, model: str, reason: Reason, detail: str, *, num_ctx_over: int = 0) -> int:
        """See Board."""
        now = self._clock()
        hit = [e for e in self._lines.waiting_in(model) if e.ticket.num_ctx > num_ctx_over]
        for entry in hit:
            retry = None if reason == "no_room" else self._lines.retry_after(model, now)
            refusal = Refusal(ticket=entry.ticket.id, reason=reason, detail=detail, retry_after_s=retry)
            self._lines.turn_away(entry, refusal, now)
        return len(hit)

    async def demand(self) -> list[Line]:
        """See Board."""
        now = self._clock()
        self._sweep(now)
        return self._lines.demand(now)

    async def loads(self) -> list[Load]:
        """See Board."""
        return [
            Load(node=slots.node, model=name, in_flight=slots.in_flight, last_used=slots.last_used)
            for name, model in self._lines.models.items()
            for slots in model.slots.values()
            if slots.resident is not None
        ]

    async def arrivals(self) -> list[Arrival]:
        """See Board."""
        came = [
            Arrival(at=at, key=t.key, model=t.model, session=t.session, next_models=t.next_models)
            for at, t in self._arrivals
        ]
        self._arrivals.clear()
        return came

    async def wait_for_demand(self, timeout_s: float) -> bool:
        """See Board."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._demand.wait()
        except TimeoutError:
            return False
        if not self._closed:
            self._demand.clear()
        return not self._closed

    # -- everyone

    async def residents(self) -> list[Resident]:
        """See Board."""
        return [
            slots.resident
            for model in self._lines.models.values()
            for slots in model.slots.values()
            if slots.resident is not None
        ]

    async def in_flight(self, most: int) -> list[InFlight]:
        """See Board."""
        now = self._clock()
        waiting = chain.from_iterable(map(self._lines.waiting_in, self._lines.models))
        running = (entry for entry in self._tickets.values() if entry.slots is not None)
        return [self._lines.seen(entry, now) for each in (waiting, running) for entry in islice(each, most)]

    async def aclose(self) -> None:
        """See Board."""
        self.close()

    # -- in place of another board (scheduler.board.fallback)

    def show(self, residents: Sequence[Resident]) -> None:
        """Take residents over that another board published; nobody leads here."""
        self._lines.show({(each.model, each.node): each for each in residents}, self._clock())

    def adopt(self, ticket: Ticket, seat: Seat | None) -> Seat | Place | Refusal:
        """Hold a ticket that another board admitted: on its seat, or again in line."""
        now = self._clock()
        account = self._account(ticket.key)
        account.over(ticket, now)  # rolls its windows; what was admitted once is not refused now
        entry = Entry(ticket, account.charge(ticket), account.allowance(ticket.limits, now), now)
        self._tickets[ticket.id] = entry
        self._leases.open(ticket.holder, now)
        if seat is None:
            return self._seat_again(entry, now, kept=True)
        self._lines.occupy(entry, seat, now)
        return seat

    def standing(self) -> list[tuple[Ticket, Seat | Refusal | None]]:
        """Every ticket with what it has; None waits."""
        return [(entry.ticket, entry.outcome) for entry in self._tickets.values()]

    def close(self) -> None:
        """Take nothing more, and wake whoever waits."""
        self._closed = True
        self._demand.set()
        now = self._clock()
        for entry in [e for e in self._tickets.values() if e.turn is not None]:
            self._lines.turn_away(entry, refusals.closing(entry.ticket.id), now)

    # -- inside

    def _account(self, key: str) -> Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
        return account

    def _standing(self, entry: Entry, now: float) -> Seat | Place | Refusal:
        """What a ticket has that was admitted before."""
        return self._fetch(entry) or self._lines.place(entry, now)

    def _fetch(self, entry: Entry) -> Seat | Refusal | None:
        """The outcome; a refusal is fetched once."""
        if isinstance(entry.outcome, Refusal):
            self._tickets.pop(entry.ticket.id, None)
        return entry.outcome

    def _closed_to(self, ticket: Ticket, now: float) -> Refusal | None:
        """Why nobody will load what the ticket needs; None when it is loaded, or may be."""
        if self._closed:
            return refusals.closing(ticket.id)
        if self._lines.serves(ticket):
            return None
        allowance = self._account(ticket.key).allowance(ticket.limits, now)
        if not self._leader.lately(now):
            return refusals.no_scheduler(ticket.id, ticket.model, self._bounds.lease_s, allowance)
        loadable = self._lines.loadable
        if loadable is not None and ticket.model not in loadable and not self._lines.holds(ticket.model):
            return refusals.no_node(ticket.id, ticket.model, allowance)
        return None

    def _crowded(self, ticket: Ticket, now: float) -> Refusal | None:
        crowd = self._lines.crowding(ticket, now)
        if crowd is None:
            return None
        allowance = self._account(ticket.key).allowance(ticket.limits, now)
        return refusals.crowded(ticket, crowd, self._bounds, allowance)

    def _end(self, entry: Entry, tokens: int, now: float) -> None:
        entry.charge.settle(tokens)
        self._lines.stand_up(entry, now)
        if entry.outcome is None:
            entry.end(refusals.lost(entry.ticket.id))
        else:
            self._lines.dispatch(entry.ticket.model, now)

    def _sweep(self, now: float) -> None:
        """End what nobody else ends: tickets of dead holders, overdue ones, cold ones without a scheduler."""
        if abs(now - self._swept) < SWEEP_S:
            return
        self._swept = now
        dead = set(self._leases.dead(now))
        # Those who wait first, so that no slot is given to a ticket that ends in the next moment.
        mortal = [e for e in self._tickets.values() if e.ticket.holder in dead]
        for entry in sorted(mortal, key=lambda e: e.slots is not None):
            del self._tickets[entry.ticket.id]
            if not isinstance(entry.outcome, Refusal):
                self._end(entry, 0, now)
        for name in list(self._lines.models):
            for entry in self._lines.waiting_in(name):
                self._sweep_waiting(entry, now)
        if abs(now - self._forgot) >= FORGET_S:
            self._forgot = now
            for key in [key for key, account in self._accounts.items() if account.forget(now)]:
                del self._accounts[key]

    def _sweep_waiting(self, entry: Entry, now: float) -> None:
        if entry.ticket.deadline <= now:
            self._lines.turn_away(entry, self._lines.too_late(entry, now), now)
        elif not self._leader.lately(now) and not self._lines.serves(entry.ticket):
            refusal = refusals.no_scheduler(
                entry.ticket.id, entry.ticket.model, self._bounds.lease_s, entry.allowance
            )
            self._lines.turn_away(entry, refusal, now)

"""Which slot a ticket gets: the residents of one model, and the tickets that sit on them or wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from scheduler.board.accounts import Charge
from scheduler.board.interface import Allowance, Refusal, Resident, Seat, Ticket
from scheduler.policy.backpressure import Drain
from scheduler.policy.fairness import FairLine, Turn


class Slots:
    """One resident and what runs on it. `resident` is None when it is gone and its last seats run out."""

    __slots__ = ("fresh", "in_flight", "last_used", "node", "resident")

    def __init__(self, node: str) -> None:
        self.node = node
        self.resident: Resident | None = None
        self.in_flight = 0
        self.last_used = 0.0
        self.fresh = True  # nobody had a seat since its load

    def show(self, resident: Resident, now: float) -> None:
        """Take over what the scheduler published. Another context or cause is another load."""
        known = self.resident
        if known is None or (known.num_ctx, known.cause) != (resident.num_ctx, resident.cause):
            self.fresh = True
            self.last_used = max(self.last_used, now) if self.in_flight else now
        self.resident = resident


class Entry:
    """A ticket that was admitted and has not ended."""

    __slots__ = (
        "admitted",
        "allowance",
        "charge",
        "cold",
        "joined",
        "outcome",
        "queued",
        "slots",
        "ticket",
        "turn",
        "waiter",
    )

    def __init__(self, ticket: Ticket, charge: Charge, allowance: Allowance, now: float) -> None:
        self.ticket = ticket
        self.charge = charge
        self.allowance = allowance
        self.admitted = now
        self.joined = now  # when it last began to wait
        self.queued = 0.0  # seconds that it waited before that
        self.cold = False  # it waits, or waited, for a load
        self.slots: Slots | None = None  # it sits there
        self.turn: Turn[Entry] | None = None  # it waits there
        self.outcome: Seat | Refusal | None = None
        self.waiter: asyncio.Future[None] | None = None

    def end(self, outcome: Seat | Refusal) -> None:
        """Tell whoever waits."""
        self.outcome = outcome
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class ModelState:
    """The residents of one model by node, its line while somebody waits, and how fast that moves."""

    __slots__ = ("drain", "line", "since", "slots")

    def __init__(self) -> None:
        self.slots: dict[str, Slots] = {}
        self.line: FairLine[Entry] | None = None
        self.since = 0.0  # when the line, now not empty, began
        self.drain = Drain()

    def rate(self, now: float) -> float | None:
        """Seats per second that its line was given, lately."""
        return (self.drain.until(now) if self.line is not None else self.drain).rate()

    @property
    def free(self) -> bool:
        """Whether any slot takes somebody."""
        return any(
            each.resident is not None and each.resident.accepting and each.in_flight < each.resident.slots
            for each in self.slots.values()
        )

    @property
    def idle(self) -> bool:
        return not self.slots and self.line is None


def choose(slots: Iterable[Slots], ticket: Ticket) -> Slots | None:
    """A free slot: on the preferred node, else where the least share is taken, else used longest ago."""
    best: Slots | None = None
    least = (0.0, 0.0, "")
    for each in slots:
        resident = each.resident
        if resident is None or each.in_flight >= resident.slots or not serves(resident, ticket):
            continue
        if each.node == ticket.prefer:
            return each
        rank = (each.in_flight / resident.slots, each.last_used, each.node)
        if best is None or rank < least:
            best, least = each, rank
    return best


def serves(resident: Resident, ticket: Ticket) -> bool:
    """Whether the ticket may sit there once a slot is free."""
    return resident.accepting and ticket.num_ctx <= resident.num_ctx and resident.node not in ticket.avoid


def served(slots: Iterable[Slots], ticket: Ticket) -> bool:
    """Whether the ticket waits for a slot only; else it waits for a load."""
    return any(each.resident is not None and serves(each.resident, ticket) for each in slots)


def take(entry: Entry, slots: Slots, now: float) -> Seat:
    """Sit down. Cold: it waited for a load. Prefetched: it is the first on a load that nobody asked for."""
    resident = slots.resident
    assert resident is not None, "a seat is chosen among residents"
    fresh, slots.fresh = slots.fresh, False
    slots.in_flight += 1
    slots.last_used = now
    entry.slots = slots
    entry.turn = None
    entry.queued += max(0.0, now - entry.joined)
    ahead = fresh and resident.cause == "prefetch"
    seat = Seat(
        ticket=entry.ticket.id,
        node=resident.node,
        model=resident.model,
        num_ctx=resident.num_ctx,
        options=resident.options,
        load="cold" if entry.cold else "prefetched" if ahead else "warm",
        queued_s=entry.queued,
        allowance=entry.allowance,
    )
    entry.outcome = seat
    return seat

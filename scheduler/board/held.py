"""What this process holds on a board elsewhere: the tickets it asked for and has not settled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.board.interface import BoardDown, Refusal, Seat, Ticket


@dataclass(slots=True)
class Held:
    """One ticket."""

    ticket: Ticket
    since: float  # Unix seconds at which it was asked for
    answered: bool = False  # False while the admission is under way
    outcome: Seat | Refusal | None = None  # None: it waits
    waiter: asyncio.Future[None] | None = None

    def end(self, outcome: Seat | Refusal) -> None:
        """Tell whoever waits."""
        self.outcome = outcome
        self.answered = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def again(self, ticket: Ticket) -> None:
        """Ask anew, with what is to be avoided now."""
        self.ticket, self.outcome, self.waiter, self.answered = ticket, None, None, False

    def nudge(self) -> None:
        """Let whoever waits ask now: a message may have been missed."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        self.waiter = None

    def fail(self, error: BoardDown) -> None:
        """Nothing can come while the board is away."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)
            self.waiter.exception()  # perhaps nobody waits just now
        self.waiter = None


class HeldTickets:
    """By ticket id; as many as requests are in flight here."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def get(self, ticket: str) -> Held | None:
        return self._held.get(ticket)

    def ask(self, ticket: Ticket, now: float) -> Held:
        """The ticket as held from now on, answered or not."""
        return self._held.setdefault(ticket.id, Held(ticket, now))

    def adopt(self, ticket: Ticket, now: float, seat: Seat | None) -> None:
        """Hold what another board gave while the real one was away; it is told when it is back."""
        self._held[ticket.id] = Held(ticket, now, answered=True, outcome=seat)

    def pop(self, ticket: str) -> Held | None:
        return self._held.pop(ticket, None)

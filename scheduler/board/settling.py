"""Settling tickets on a board elsewhere: sent and forgotten, repeated when the board was away.

Also remembers how many tokens of each budget are known to be used, so that a loss of data on the board gives
no key its budget back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from scheduler.board import wire
from scheduler.board.interface import BoardDown, Ticket

FLOORS = 65_536  # budgets that are remembered
UNSETTLED = 10_000  # tickets that ended while the board was away


class Run(Protocol):
    def __call__(self, operation: str, *args: str) -> asyncio.Future[Any]: ...


class Settling:
    """`run` sends an operation; it raises BoardDown, or its future does."""

    def __init__(self, run: Run, now: Callable[[], float]) -> None:
        self._run = run
        self._now = now
        self._unsettled: OrderedDict[str, tuple[Ticket, int, bool]] = OrderedDict()
        self.floors: OrderedDict[tuple[str, str], int] = OrderedDict()

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """End it, with the tokens it really used."""
        for budget in ticket.limits.budgets:
            name = wire.budget_name(budget)
            self.known(ticket.key, name, self.floors.get((ticket.key, name), 0) + tokens)
        self._send(ticket, tokens, sent_before=False)

    def fetched(self, ticket: Ticket) -> None:
        """Its refusal came by message: the board need not keep it."""
        self._send(ticket, 0, sent_before=True)

    def make_up(self) -> None:
        """The board is back: send what could not be sent."""
        waiting, self._unsettled = self._unsettled, OrderedDict()
        for ticket, tokens, sent_before in waiting.values():
            self._send(ticket, tokens, sent_before=sent_before)

    def _send(self, ticket: Ticket, tokens: int, *, sent_before: bool) -> None:
        gone = "" if sent_before else self._charged_when_gone(ticket)
        try:
            answer = self._run("settle", ticket.holder, ticket.id, str(tokens), gone)
        except BoardDown:
            self._keep(ticket, tokens, sent_before=sent_before)
        else:
            answer.add_done_callback(partial(self._sent, ticket, tokens))

    def _sent(self, ticket: Ticket, tokens: int, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            # It may have been done: repeated, it must not charge a ticket that is gone for the second time.
            self._keep(ticket, tokens, sent_before=True)

    def _keep(self, ticket: Ticket, tokens: int, *, sent_before: bool) -> None:
        self._unsettled[ticket.id] = (ticket, tokens, sent_before)
        if len(self._unsettled) > UNSETTLED:
            self._unsettled.popitem(last=False)

    def _charged_when_gone(self, ticket: Ticket) -> str:
        if not ticket.limits.budgets:
            return ""
        budgets = [wire.budget_values(budget, 0, self._now()) for budget in ticket.limits.budgets]
        return wire.encode({"key": ticket.key, "budgets": budgets})

    # -- floors

    def known(self, key: str, name: str, used: int) -> int:
        """The most tokens of this budget that were ever known to be used."""
        used = max(used, self.floors.get((key, name), 0))
        self.floors[key, name] = used
        self.floors.move_to_end((key, name))
        if len(self.floors) > FLOORS:
            self.floors.popitem(last=False)
        return used

    def learn(self, ticket: Ticket, values: wire.Values) -> None:
        """What an answer says about the budgets of its key."""
        floors = (values.get("allowance") or {}).get("budgets") or ()
        for budget, used in zip(ticket.limits.budgets, floors, strict=False):
            self.known(ticket.key, wire.budget_name(budget), int(used))

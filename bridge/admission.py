"""Admission: from an inner request to a seat, or to a refusal that says why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge import metrics
from bridge.errors import Refused
from scheduler.board.interface import Board, Place, Reason, Refusal, Seat, Ticket

if TYPE_CHECKING:
    from bridge.exchange import Exchange

POLL_S = 30.0  # a wait on the board returns at least this often
NEWS_S = 0.5  # between tries while the scheduler may not have heard yet of a model or a node
NEWS_TRIES = 3
FORGIVE_S = 2.0  # how long a request leaves out the nodes that failed it

# Reason: status, whether an official client should try again by itself.
ANSWERS: dict[Reason, tuple[int, bool | None]] = {
    "rate": (429, None),
    "tokens": (429, None),
    "parallel": (429, None),
    "budget": (429, False),
    "queue_full": (503, None),
    "queue_shed": (503, None),
    "deadline": (503, None),
    "no_node": (503, None),
    "no_room": (503, False),
    "load_failed": (503, None),
    "no_scheduler": (503, None),
    "draining": (503, None),
}


async def seat(board: Board, ticket: Ticket, exchange: Exchange, *, moved: bool = False) -> Seat:
    """Wait for a seat. Raises Refused. Whoever cancels this need not tidy up: the exchange gives it back."""
    exchange.ticket = ticket.id
    with metrics.WAITING.track_inprogress():
        return await _seated(board, ticket, exchange, moved)


async def _seated(board: Board, ticket: Ticket, exchange: Exchange, moved: bool) -> Seat:
    step: Seat | Place | Refusal | None = await (board.move(ticket) if moved else board.admit(ticket))
    late = 0
    while True:
        if isinstance(step, Seat):
            return taken(step, exchange)
        if isinstance(step, Refusal):
            if step.reason != "no_node" or late >= NEWS_TRIES:
                raise refused(step, exchange)
            # The catalogue knows the model; after a pull or a node's return the scheduler soon will too.
            late += 1
            await asyncio.sleep(NEWS_S)
            step = await board.admit(ticket)
            continue
        if isinstance(step, Place):
            exchange.allowance = step.allowance
        step = await board.wait(ticket.id, FORGIVE_S if ticket.avoid else POLL_S)
        if step is None and ticket.avoid:
            # Nobody else has room: a node that failed a moment ago is better than none.
            ticket = replace(ticket, avoid=frozenset())
            step = await board.move(ticket)


def taken(seat: Seat, exchange: Exchange) -> Seat:
    if exchange.seat is None:
        metrics.RUNNING.inc()
    exchange.seat = seat
    exchange.queued_s = seat.queued_s
    exchange.allowance = seat.allowance
    return seat


def refused(refusal: Refusal, exchange: Exchange) -> Refused:
    """The refusal as what the client is told."""
    exchange.ticket = None  # the board holds nothing for a refused ticket
    exchange.allowance = refusal.allowance
    status, should_retry = ANSWERS[refusal.reason]
    if refusal.reason == "budget" and refusal.retry_after_s is not None:
        should_retry = None  # others only reserved the tokens, or the period ends in a moment
    return Refused(
        refusal.detail,
        status=status,
        kind=refusal.reason,
        retry_after_s=refusal.retry_after_s,
        should_retry=should_retry,
    )

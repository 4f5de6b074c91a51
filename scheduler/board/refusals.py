"""The sentences of refusals, one place for both boards: what, why and what to do, with the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.board.interface import Allowance, Bounds, Reason, Refusal, Ticket
from scheduler.policy.backpressure import RETRY_UNMEASURED_S, clamp


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that a ticket would exceed."""

    reason: Reason
    limit: int
    asked: int
    wait_s: float | None  # None: waiting does not help
    period: str = ""
    used: int = 0
    reserved: int = 0


def over_limit(ticket: str, over: Over, allowance: Allowance) -> Refusal:
    """A key's own limit: the client sent too much."""
    retry = None if over.wait_s is None else clamp(over.wait_s)
    return Refusal(
        ticket=ticket, reason=over.reason, detail=_limit(over), retry_after_s=retry, allowance=allowance
    )


def _limit(over: Over) -> str:
    if over.reason == "rate":
        return f"This key may send {over.limit} requests per minute, and has."
    if over.reason == "tokens" and over.wait_s is None:
        return (
            f"This request needs {over.asked} tokens, and this key may use {over.limit} per minute: "
            "ask for fewer tokens."
        )
    if over.reason == "tokens":
        return f"This request needs {over.asked} tokens, more than is left of {over.limit} per minute."
    if over.reason == "parallel":
        return f"This key may have {over.limit} requests at once, and has {over.asked} running or waiting."
    period = "in all" if over.period == "total" else f"per {over.period}"
    return (
        f"This request needs {over.asked} tokens; of this key's {over.limit} {period} "
        f"{over.used} are used and {over.reserved} are reserved by requests that run."
    )


@dataclass(frozen=True, slots=True)
class Crowd:
    """A line, or all of them, that takes a ticket not."""

    reason: Reason
    waiting: int
    total: int
    retry_s: int
    wait_s: float | None  # that one more would wait, as predicted


def crowded(ticket: Ticket, crowd: Crowd, bounds: Bounds, allowance: Allowance) -> Refusal:
    """The line takes nobody more."""
    numbers = (
        f"{crowd.waiting} of {bounds.queue_model} places for {ticket.model} and "
        f"{crowd.total} of {bounds.queue_total} in all are taken"
    )
    detail = f"Too many requests wait: {numbers}."
    if crowd.reason == "queue_shed":
        detail = f"Requests of priority {ticket.priority} are turned away while {numbers}."
    if crowd.wait_s is not None:
        detail += f" One more would wait about {max(crowd.wait_s, 1.0):.0f} s for a seat."
    return Refusal(
        ticket=ticket.id,
        reason=crowd.reason,
        detail=detail,
        retry_after_s=crowd.retry_s,
        allowance=allowance,
    )


def no_node(ticket: str, model: str, allowance: Allowance) -> Refusal:
    """Nobody has the model."""
    detail = f"No healthy node holds {model}: pull it, or wait until its node is back."
    return Refusal(
        ticket=ticket,
        reason="no_node",
        detail=detail,
        retry_after_s=RETRY_UNMEASURED_S,
        allowance=allowance,
    )


def no_scheduler(ticket: str, model: str, retry_s: float, allowance: Allowance) -> Refusal:
    """Somebody has it, but it is not loaded as the ticket needs it, and nobody is there to load it."""
    detail = f"{model} is not loaded, and no scheduler runs that could load it; loaded models are served."
    return Refusal(
        ticket=ticket,
        reason="no_scheduler",
        detail=detail,
        retry_after_s=clamp(retry_s),
        allowance=allowance,
    )


def too_late(ticket: str, waited_s: float, retry: int) -> Refusal:
    """The deadline came first."""
    detail = f"No seat within {waited_s:.1f} seconds of waiting, as long as this request may wait."
    return Refusal(ticket=ticket, reason="deadline", detail=detail, retry_after_s=retry)


def lost(ticket: str) -> Refusal:
    """A ticket that the board does not hold: it was ended, or its holder was silent too long."""
    detail = "This request lost its place: its bridge was silent longer than its lease. Send it again."
    return Refusal(ticket=ticket, reason="deadline", detail=detail, retry_after_s=1)


def closing(ticket: str) -> Refusal:
    """The process ends."""
    detail = "This bridge is being stopped. Send the request again; another one answers."
    return Refusal(ticket=ticket, reason="draining", detail=detail, retry_after_s=1)

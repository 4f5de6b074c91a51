"""What travels between a bridge and Redis: tickets as JSON, and answers back into values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from scheduler.board import refusals
from scheduler.board.held import Held
from scheduler.board.interface import (
    Allowance,
    Arrival,
    Bounds,
    Budget,
    InFlight,
    Line,
    Place,
    Refusal,
    Resident,
    Seat,
    Ticket,
)
from scheduler.policy import backpressure

Values = dict[str, Any]


def encode(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def budget_name(budget: Budget) -> str:
    """A budget's period within its key."""
    return f"{budget.period}|{budget.start:.0f}"


def budget_values(budget: Budget, floor: int, now: float) -> Values:
    """`floor`: tokens that are known to be used, whatever Redis remembers."""
    values: Values = {"name": budget_name(budget), "period": budget.period, "tokens": budget.tokens}
    if math.isfinite(budget.end):
        values["ends_in"] = budget.end - now
    return values | {"floor": floor}


def ticket_values(
    ticket: Ticket, *, inbox: str, bounds: Bounds, floors: Mapping[tuple[str, str], int], now: float
) -> Values:
    """A ticket as the functions take it. Times are told in seconds from now, so that clocks may differ."""
    limits = ticket.limits
    values: Values = {
        "id": ticket.id,
        "holder": ticket.holder,
        "inbox": inbox,
        "key": ticket.key,
        "model": ticket.model,
        "num_ctx": ticket.num_ctx,
        "tokens": ticket.tokens,
        "left": ticket.deadline - now,
        "priority": ticket.priority,
        "avoid": dict.fromkeys(ticket.avoid, True),
        "budgets": [
            budget_values(budget, floors.get((ticket.key, budget_name(budget)), 0), now)
            for budget in limits.budgets
        ],
        "lease": bounds.lease_s,
        "queue_model": bounds.queue_model,
        "queue_total": bounds.queue_total,
    }
    optional = {
        "prefer": ticket.prefer,
        "session": ticket.session or None,
        "next": list(ticket.next_models) or None,
        "rpm": limits.requests_per_minute,
        "tpm": limits.tokens_per_minute,
        "parallel": limits.parallel,
    }
    return values | {name: value for name, value in optional.items() if value is not None}


def held_values(held: Held, now: float) -> Values:
    """What is added to a ticket that the board shall hold again."""
    values: Values = {"age": max(0.0, now - held.since)}
    if isinstance(held.outcome, Seat):
        seat = held.outcome
        options = json.dumps(dict(seat.options), sort_keys=True)
        values |= {
            "node": seat.node,
            "seat": {"load": seat.load, "num_ctx": seat.num_ctx, "options": options},
        }
    return values


def resident_values(resident: Resident) -> Values:
    return {
        "node": resident.node,
        "model": resident.model,
        "num_ctx": resident.num_ctx,
        "slots": resident.slots,
        "accepting": resident.accepting,
        "cause": resident.cause,
        "bytes": resident.bytes,
        "options": json.dumps(dict(resident.options), sort_keys=True),
    }


def publication(residents: Sequence[Resident], loadable: Mapping[str, float | None]) -> str:
    """The same text for the same residents, in whatever order they come."""
    ordered = sorted(residents, key=lambda each: (each.model, each.node))
    return json.dumps(
        {
            "residents": [resident_values(each) for each in ordered],
            "loadable": {model: "" if seconds is None else seconds for model, seconds in loadable.items()},
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def resident_of(model: str, node: str, values: Values) -> Resident:
    return Resident(
        node=node,
        model=model,
        num_ctx=values["num_ctx"],
        slots=values["slots"],
        options=options_of(values["options"]),
        bytes=int(values["bytes"]),
        accepting=values["accepting"],
        cause=values["cause"],
    )


@lru_cache(maxsize=1024)
def options_of(text: str) -> Mapping[str, object]:
    """A profile's options; few texts are seen again and again."""
    options: dict[str, object] = json.loads(text)
    return options


def answer_of(ticket: Ticket, values: Values, bounds: Bounds) -> Seat | Place | Refusal:
    """What a function or a message says about a ticket."""
    allowance = _allowance(ticket, values.get("allowance") or {})
    if "seat" in values:
        seat = values["seat"]
        return Seat(
            ticket=ticket.id,
            node=seat["node"],
            model=ticket.model,
            num_ctx=seat["num_ctx"],
            options=options_of(seat["options"]),
            load=seat["load"],
            queued_s=float(seat["queued"]),
            allowance=allowance,
        )
    if "place" in values:
        place = values["place"]
        return Place(
            ticket=ticket.id,
            position=place["position"],
            wait_s=_wait_s(place["position"], place["facts"]),
            allowance=allowance,
        )
    if "over" in values:
        over = {"limit": 0, "asked": 0} | values["over"]
        over["wait_s"] = over.pop("wait", None)
        return refusals.over_limit(ticket.id, refusals.Over(**over), allowance)
    return _refusal(ticket, values["refusal"], bounds, allowance)


def _allowance(ticket: Ticket, left: Values) -> Allowance:
    limits = ticket.limits
    return Allowance(
        requests_limit=limits.requests_per_minute,
        requests_remaining=left.get("requests"),
        requests_reset_s=left.get("requests_reset"),
        tokens_limit=limits.tokens_per_minute,
        tokens_remaining=left.get("tokens"),
        tokens_reset_s=left.get("tokens_reset"),
    )


def _rate(facts: Values) -> float | None:
    return backpressure.Drain(seats=facts["seats"], seconds=facts["seconds"]).rate()


def _wait_s(position: int, facts: Values) -> float | None:
    served = facts["served"]
    load_s = None if served else facts.get("load_s")
    return backpressure.predicted_wait(position, _rate(facts), load_s, resident=served)


def _retry_after(facts: Values) -> int:
    load_s = None if facts["resident"] else facts.get("load_s")
    return backpressure.retry_after(facts["waiting"], _rate(facts), load_s)


def _refusal(ticket: Ticket, said: Values, bounds: Bounds, allowance: Allowance) -> Refusal:
    reason = said["reason"]
    if "detail" in said:  # the scheduler's own words
        retry = None if reason == "no_room" else _retry_after(said["facts"])
        return Refusal(ticket=ticket.id, reason=reason, detail=said["detail"], retry_after_s=retry)
    if reason == "deadline":
        return refusals.too_late(ticket.id, said["waited"], _retry_after(said["facts"]))
    if reason == "no_scheduler":
        return refusals.no_scheduler(ticket.id, ticket.model, bounds.lease_s, allowance)
    if reason == "no_node":
        return refusals.no_node(ticket.id, ticket.model, allowance)
    facts = said["facts"]
    wait_s = _wait_s(said["waiting"] + 1, facts)
    crowd = refusals.Crowd(reason, said["waiting"], said["total"], _retry_after(facts), wait_s)
    return refusals.crowded(ticket, crowd, bounds, allowance)


def arrival_of(text: str | bytes) -> Arrival:
    """[at, key, model], and where its app told them [..., session, next models]."""
    at, key, model, *told = json.loads(text)
    session, following = told or ("", ())
    return Arrival(at=float(at), key=key, model=model, session=session, next_models=tuple(following))


def in_flight_of(values: Values) -> InFlight:
    place = values.get("place")
    return InFlight(
        ticket=values["ticket"],
        key=values["key"],
        model=values["model"],
        since=float(values["since"]),
        node=values.get("node"),
        position=place["position"] if place else None,
        wait_s=_wait_s(place["position"], place["facts"]) if place else None,
    )


def line_of(values: Values) -> Line:
    return Line(
        model=values["model"],
        waiting=values["waiting"],
        since=float(values["since"]),
        num_ctx=values["num_ctx"],
        keys=values["keys"],
        priority=values["priority"],
        avoid=frozenset(sorted(values["avoid"])[:64]),
        wait_s=_wait_s(values["waiting"], values["facts"]),
    )

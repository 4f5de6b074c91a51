"""What a pinning policy would do on the fleet as it is now, before it is saved."""

from __future__ import annotations

import time

from asgiref.sync import async_to_sync

from scheduler.board import current
from scheduler.board.interface import BoardDown
from scheduler.models import PinningPolicy
from scheduler.models.as_policy import InFlight, published_state
from scheduler.models.pin_fit import catalogue_policies
from scheduler.policy.pin_preview import Preview, preview


def of(policy: PinningPolicy) -> Preview:
    """By the scheduler's own decisions, on what it published last."""
    now = time.time()
    others = PinningPolicy.objects.filter(enabled=True).exclude(pk=policy.pk)
    in_force = [other.as_policy() for other in others if other.as_policy().is_open(now)]
    state = published_state(in_flight())
    return preview(state, policy.as_policy(), [*in_force, *catalogue_policies()], now)


def in_flight() -> InFlight:
    """What runs on each resident; nothing where no board can tell."""
    board = current.current()
    if board is None:
        return {}
    try:
        loads = async_to_sync(board.loads)()
    except BoardDown:
        return {}
    return {(load.node, load.model): (load.in_flight, load.last_used) for load in loads}


def mark(seen: Preview) -> str:
    """The evictions as one text, which is equal when the same would go; empty when nothing goes."""
    return " ".join(f"{node}/{model}" for node, model in sorted(seen.evicted))

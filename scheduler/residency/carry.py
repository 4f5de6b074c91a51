"""From decisions to effects: actions are begun, residents drained and resumed, lines refused."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from scheduler.policy.decisions import Decision, Drain, Evict, Load, Refuse, Resume
from scheduler.policy.preemption import CallOff
from scheduler.policy.state import State
from scheduler.residency import outcomes
from scheduler.residency.act import Actions
from scheduler.residency.ahead import Ahead
from scheduler.residency.failures import Hopeless
from scheduler.residency.means import Means

log = logging.getLogger(__name__)


async def carry_out(means: Means, actions: Actions, state: State, decisions: Iterable[Decision]) -> None:
    """Carry out what can be begun now. The rest is decided anew in the next round."""
    for decision in decisions:
        if isinstance(decision, Load | Evict):
            actions.begin(decision, key=first_key(state, decision.model))
        elif isinstance(decision, Drain):
            _drain(means, decision)
        elif isinstance(decision, Resume):
            _resume(means, decision)
        elif isinstance(decision, Refuse):
            await refuse(means, decision)
    for line in means.fleet.failures.hopeless(state, means.fleet.clock()):
        await refuse(means, line)


def prefetch(actions: Actions, ahead: Ahead, loads: Iterable[Load]) -> None:
    """Begin what was proposed; the account hears of what could not be."""
    for load in loads:
        if actions.begin(load, ended=partial(ahead.ended, load)):
            log.info("%s is prefetched on %s: %s", load.model, load.node, load.reason)
            ahead.began(load)
        else:
            ahead.declined(load)


def call_off(means: Means, actions: Actions, ahead: Ahead, calls: Iterable[CallOff]) -> None:
    """Give prefetches up that demand would wait for."""
    for call in calls:
        load = ahead.under_way(call.node, call.model)
        if load is not None:
            log.info("The prefetch of %s on %s is called off: %s", call.model, call.node, call.reason)
            began = means.fleet.busy[call.node].since
            actions.call_off(call.node, partial(ahead.called_off, load, call, began))


def first_key(state: State, model: str) -> str:
    """The key that most of those who wait belong to: what the ledger names as the cause."""
    line = state.lines.get(model)
    return max(line.keys, key=lambda key: (line.keys[key], key), default="") if line else ""


def _drain(means: Means, decision: Drain) -> None:
    resident = means.fleet.book.get(decision.node, decision.model)
    if resident is None or not resident.accepting:
        return
    resident.accepting, resident.wanted_by = False, decision.wanted_by
    log.info("%s on %s drains: %s", decision.model, decision.node, decision.reason)
    means.record(outcomes.draining(decision))


def _resume(means: Means, decision: Resume) -> None:
    resident = means.fleet.book.get(decision.node, decision.model)
    if resident is not None:
        resident.accepting, resident.wanted_by = True, None
        log.info("%s on %s accepts again: %s", decision.model, decision.node, decision.reason)


async def refuse(means: Means, decision: Refuse | Hopeless) -> int:
    """Turn away who waits for it; how many those were."""
    count = await means.board.refuse(
        decision.model, decision.reason, decision.detail, num_ctx_over=decision.num_ctx_over
    )
    if count:
        log.warning("%d requests for %s are refused: %s", count, decision.model, decision.detail)
        means.record(outcomes.refused(decision.model, decision.reason, decision.detail, count))
    return count

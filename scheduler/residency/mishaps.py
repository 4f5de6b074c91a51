"""Conclusions from a load that failed.

1. Out of memory: tried again with more room, so that at least one more resident goes; from the second time on
   the pair of node and model is left alone for a while, and who waits is refused with the numbers.
2. No answer within the deadline while /api/tags is green: the node's loads hang. Quarantine; others load.
3. No answer to anything: the node is down, which says nothing about the model.
4. The node does not have the model: no second try before the catalogue was read again.
5. Anything else counts as a failure of this model on this node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.nodes.errors import ModelMissing, NodeBusy, NodeDown, NodeFailure, NodeTimeout, OutOfMemory
from scheduler.policy import context, packing
from scheduler.policy.config import MIB
from scheduler.policy.decisions import Load
from scheduler.policy.state import Model
from scheduler.residency import outcomes
from scheduler.residency.assemble import UNKNOWN_VRAM
from scheduler.residency.failures import PATIENCE
from scheduler.residency.means import Means

RAISED_S = 600.0  # how long a need is believed larger after an out-of-memory
MORE = 1.15  # of the predicted need, planned for after an out-of-memory


@dataclass(frozen=True, slots=True)
class Mishap:
    kind: str  # for the ledger's outcome
    detail: str  # a sentence with the numbers


async def judge(means: Means, decision: Load, error: NodeFailure, free: int, deadline_s: float) -> Mishap:
    """By the list above. `free`: VRAM before the load, in bytes."""
    if isinstance(error, OutOfMemory):
        return _out_of_memory(means, decision, free)  # 1
    if isinstance(error, NodeTimeout) and await _answers(means, decision.node):
        return _hung(means, decision, deadline_s)  # 2
    now = means.fleet.clock()
    if isinstance(error, NodeDown | NodeTimeout):  # 3
        await means.look(decision.node)  # so that nobody tries it again before it is back
        return Mishap(
            "node_down", f"{decision.node} went away while it loaded {decision.model}: {error.text}."
        )
    detail = f"{decision.node} could not load {decision.model}: {error.text}."
    if isinstance(error, ModelMissing):  # 4
        means.fleet.failures.block(decision.node, decision.model, detail, now)
    elif not isinstance(error, NodeBusy):  # 5
        means.fleet.failures.note(decision.node, decision.model, detail, now)
    return Mishap(error.kind, detail)


def _out_of_memory(means: Means, decision: Load, free: int) -> Mishap:
    fleet, now = means.fleet, means.fleet.clock()
    node, model = fleet.state(()).nodes[decision.node], fleet.rows.models.get(decision.model)
    sizes = outcomes.numbers(node, decision.bytes, free)
    detail = f"{decision.model} did not fit into the memory of {decision.node}: {sizes}."
    if model is None or decision.profile.num_ctx <= context.usual(model) or node.vram_bytes == UNKNOWN_VRAM:
        fleet.failures.note(decision.node, decision.model, detail, now)
        need, until = min(_with_more_room(means, decision, free), node.vram_bytes), now + RAISED_S
    else:  # only this context may be too large: smaller ones are left alone
        failure = fleet.too_large.note(decision.node, grown(decision), detail, now)
        need, until = min(_with_more_room(means, decision, free), node.vram_bytes), now + RAISED_S
        if failure.count > PATIENCE:
            need, until = node.vram_bytes + MIB, failure.until  # planned for no node of this size
    if model is not None:
        _plan_with(means, decision, model, need, until)
    return Mishap("out_of_memory", detail)


def grown(decision: Load) -> str:
    """The name under which failures of a context beyond the usual one are counted."""
    return f"{decision.model} with {decision.profile.num_ctx}"


def _with_more_room(means: Means, decision: Load, free: int) -> int:
    """Bytes to plan the next try with: at least one more resident goes, where there is one."""
    others = [packing.held(r, means.config) for r in means.fleet.book.on(decision.node)]
    return max(int(decision.bytes * MORE), free + min(others, default=0))


def _plan_with(means: Means, decision: Load, model: Model, need: int, until: float) -> None:
    """Believe this need for this context and larger ones, until then."""
    digest = model.digests.get(decision.node, "")
    bytes_ = int((need - packing.spare(means.config)) / (1 + means.config.margin_floor))
    for num_ctx in {*context.ladder(model, means.config), decision.profile.num_ctx}:
        if num_ctx >= decision.profile.num_ctx:
            footprint = packing.footprint(digest, replace(decision.profile, num_ctx=num_ctx))
            means.fleet.learning.raise_need(footprint, bytes_, until)


async def _answers(means: Means, node: str) -> bool:
    """Whether the node is otherwise well."""
    try:
        await means.client(node).tags()
    except NodeFailure:
        return False
    return True


def _hung(means: Means, decision: Load, deadline_s: float) -> Mishap:
    fleet = means.fleet
    seconds = fleet.sights[decision.node].hung(fleet.clock(), fleet.pace)
    detail = (
        f"The load of {decision.model} on {decision.node} gave no answer in {deadline_s:.0f} s, while the "
        f"node answers otherwise. Nothing is loaded there for {seconds:.0f} s."
    )
    means.record(*outcomes.quarantined(decision, detail, seconds))
    return Mishap("hung", detail)

"""Preemption: which prefetches under way are called off, because real demand would wait for them.

1. A line that no resident serves, that nothing loads, and for which this round could begin nothing.
2. Of the nodes that have its model and are busy with a prefetch of another one: where it could be loaded if
   that were called off, and where more time is left than calling off costs.
3. The one with the most time left; one for each line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scheduler.policy import context, placement
from scheduler.policy.decisions import Decision, Load
from scheduler.policy.state import Line, Model, Node
from scheduler.policy.view import View

CALLING_OFF_S = 1.0  # until the node shows the room again; a load with less time left may end


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOff:
    """Give up the prefetch that runs on this node."""

    node: str
    model: str  # that is being prefetched
    for_model: str
    reason: str


def call_offs(view: View, decisions: Iterable[Decision]) -> list[CallOff]:
    """What to call off now. `view` is the one that the round has decided on."""
    begun = {d.model for d in decisions if isinstance(d, Load)}
    found: dict[str, CallOff] = {}
    for line in view.state.lines.values():  # 1
        model = view.state.models.get(line.model)
        if model is None or line.model in begun or view.loading.get(line.model):
            continue
        if any(r.accepting and r.profile.num_ctx >= line.num_ctx for r in view.of(line.model)):
            continue
        nodes = [
            n for n in view.holders(model) if n.name not in found and _stands_aside(view, n, model, line)
        ]
        if nodes:  # 3
            node = max(nodes, key=lambda n: (_left_s(view, n), n.name))
            found[node.name] = _call_off(view, node, line)
    return list(found.values())


def _call_off(view: View, node: Node, line: Line) -> CallOff:
    assert node.busy_with is not None
    said = f"{line.waiting} wait for {line.model}, and {_left_s(view, node):.1f} s were left."
    return CallOff(node=node.name, model=node.busy_with.model, for_model=line.model, reason=said)


def _left_s(view: View, node: Node) -> float:
    doing = node.busy_with
    return doing.until - view.now if doing is not None and doing.until is not None else 0.0


def _stands_aside(view: View, node: Node, model: Model, line: Line) -> bool:
    """Whether the line's model could be loaded there, if the prefetch were called off (2)."""
    doing = node.busy_with
    if doing is None or doing.cause != "prefetch" or doing.model in view.state.lines:
        return False  # what was prefetched for nobody may be real demand by now
    if _left_s(view, node) <= CALLING_OFF_S:
        return False
    idle = replace(node, busy_with=None)
    state = replace(view.state, nodes={**view.state.nodes, node.name: idle})
    num_ctx = context.bucket(model, line.num_ctx, view.config)
    without = View(state, view.now, view.config)
    return without.may_load(idle, model) and placement.on(without, idle, model, num_ctx) is not None

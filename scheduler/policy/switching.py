"""Switching: what is done for one line. The resident model is served first, but no line waits past its bound.

1. No node that answers has the model, or more context is asked for than it was trained with: refuse.
2. Its load is under way with enough context: wait for it.
3. A resident with enough context accepts: it serves the line. If the line's predicted wait exceeds
   `replica_factor` load times, and another node can take the model for less than is gained: replicate.
4. A resident accepts, but its context is too small: a planned reload, in place. It drains first.
5. Cold: the cheapest placement that evicts only idle residents.
6. A pinned resident, idle for long, has more context than usual: reload it smaller. (What is not pinned
   never shrinks: to evict it costs less than a reload.)
7. The model could not fit even alone: refuse, with the numbers.
8. A node drains for this line already: wait.
9. The line has waited its bound, less what draining and the load are expected to take: on the node where it
   costs least, drain the busy residents in the way.
10. Else wait, until then at the latest: the residents in the way serve their own lines meanwhile.
"""

from __future__ import annotations

from scheduler.policy import context, eviction, packing, placement
from scheduler.policy.config import GB
from scheduler.policy.decisions import Cause, Decision, Drain, Load, Refuse, Wait
from scheduler.policy.placement import Option
from scheduler.policy.state import Line, Model, Resident
from scheduler.policy.view import View


def for_line(view: View, line: Line) -> list[Decision]:
    """Decisions for one line, by the tree above."""
    model = view.state.models.get(line.model)
    if model is None or not view.holders(model):  # 1
        detail = f"No node that answers has {line.model}. Pull it on a node, or bring that node back."
        return [Refuse(model=line.model, num_ctx_over=-1, reason="no_node", detail=detail)]
    num_ctx = context.bucket(model, line.num_ctx, view.config)
    if line.num_ctx > num_ctx:  # 1
        detail = f"{line.num_ctx} tokens are asked for; {model.name} has a context of {num_ctx} at most."
        return [Refuse(model=model.name, num_ctx_over=num_ctx, reason="no_room", detail=detail)]
    if eta := _underway(view, model, num_ctx):  # 2
        return [
            Wait(model=model.name, until=None, eta_s=eta, reason=f"It is loading; about {eta:.1f} s left.")
        ]
    there = [r for r in view.of(model.name) if r.accepting or r.wanted_by == model.name]
    serving = [r for r in there if r.accepting and r.profile.num_ctx >= line.num_ctx]
    if serving:
        return replicate(view, model, line, serving)  # 3
    if there:
        nearest = min(there, key=lambda r: (r.accepting, r.in_flight, r.node))
        return reload(view, model, line, nearest, num_ctx)  # 4
    return _cold(view, model, line, num_ctx)


def _underway(view: View, model: Model, num_ctx: int) -> float | None:
    """Seconds until a load of this model that is big enough is done; None when there is none."""
    ends = []
    for node in view.loading.get(model.name, ()):
        action = node.busy_with
        if action is None:
            ends.append(view.load_s(node, model))  # decided in this round
        elif action.num_ctx == 0 or action.num_ctx >= num_ctx:
            ends.append(max((action.until or view.now) - view.now, 0.1))
    return min(ends, default=None)


def predicted_wait_s(view: View, line: Line, slots: int) -> float:
    """What a request that joins the line now will wait for a seat."""
    return (line.waiting + 1) * view.service_s(line.model) / max(slots, 1)


def replicate(view: View, model: Model, line: Line, serving: list[Resident]) -> list[Decision]:
    """Another replica where it pays; else the line waits for a seat."""
    slots = sum(r.profile.slots for r in serving)
    wait_s = predicted_wait_s(view, line, slots)
    stay = Wait(
        model=model.name, until=None, eta_s=wait_s, reason=f"{len(serving)} resident(s) serve its line."
    )
    if model.max_replicas is not None and len(serving) >= model.max_replicas:
        return [stay]
    num_ctx = max(r.profile.num_ctx for r in serving)
    if wait_s <= view.config.replica_factor * _quickest_s(view, model):
        return [stay]
    for option in placement.options(view, model, num_ctx):
        if wait_s > view.config.replica_factor * option.load_s and option.victims.regret_s < wait_s:
            reason = (
                f"Its line of {line.waiting} would wait {wait_s:.1f} s, a load takes {option.load_s:.1f} s."
            )
            return [load(view, model, option, "replica", reason)]
    return [stay]


def reload(view: View, model: Model, line: Line, resident: Resident, num_ctx: int) -> list[Decision]:
    """A planned reload with a larger context, or the refusal of what can never fit (4, 7)."""
    node = view.state.nodes[resident.node]
    asked = f"{line.num_ctx} tokens are asked for, its context is {resident.profile.num_ctx}."
    if not view.can_act(node):
        return [Wait(model=model.name, until=None, eta_s=None, reason=f"{asked} {node.name} is busy.")]
    option = placement.in_place(view, node, model, num_ctx)
    if option is None:
        return _refuse_or_wait(view, model, line)
    if resident.in_flight and not resident.accepting:
        return [Wait(model=model.name, until=None, eta_s=None, reason=f"{asked} It drains to reload.")]
    if resident.in_flight:
        return [
            Drain(
                node=node.name, model=model.name, wanted_by=model.name, reason=f"{asked} It drains to reload."
            )
        ]
    return [load(view, model, option, "reload", asked)]


def _cold(view: View, model: Model, line: Line, num_ctx: int) -> list[Decision]:
    ways = placement.options(view, model, num_ctx, waiting=line.waiting)
    waited = view.now - line.since
    if ways:  # 5
        return [load(view, model, ways[0], "demand", f"{line.waiting} wait, the oldest {waited:.1f} s.")]
    if smaller := shrink(view, model, num_ctx):  # 6
        return smaller
    if placement.largest_context(view, model) < num_ctx:  # 7
        return _refuse_or_wait(view, model, line)
    if any(r.wanted_by == model.name and r.in_flight for r in view.state.residents.values()):  # 8
        return [Wait(model=model.name, until=None, eta_s=None, reason="A resident drains for it.")]
    patience_s = max(view.config.line_bound_s - drain_s(view) - _quickest_s(view, model), 0.0)
    bound = line.since + patience_s
    if view.now < bound:  # 10
        reason = f"What is in the way is in use; it drains after {patience_s:.0f} s of waiting."
        until = min(bound, _settled_at(view))
        return [Wait(model=model.name, until=until, eta_s=None, reason=reason)]
    return drain(view, model, num_ctx, f"{model.name} has waited {waited:.1f} s.")  # 9


def shrink(view: View, model: Model, num_ctx: int) -> list[Decision]:
    """Reload a pinned, long idle resident with its usual context, where that makes room for `model`."""
    for node in view.holders(model):
        short = placement.need(view, node, model, num_ctx) - view.free(node)
        for resident in view.on(node.name) if view.may_load(node, model) else ():
            other = view.state.models.get(resident.model)
            if other is None or not _may_shrink(view, resident, other):
                continue
            option = placement.in_place(view, node, other, context.usual(other))
            if option is not None and packing.held(resident, view.config) - option.bytes >= short:
                why = f"Idle with a context of {resident.profile.num_ctx}; {model.name} waits for the room."
                return [load(view, other, option, "reload", why)]
    return []


def _may_shrink(view: View, resident: Resident, model: Model) -> bool:
    return (
        (resident.node, resident.model) in view.pinned()
        and resident.accepting
        and not resident.in_flight
        and resident.profile.num_ctx > context.usual(model)
        and resident.model not in view.state.lines
        and view.now - resident.last_used >= view.config.shrink_idle_s
    )


def _settled_at(view: View) -> float:
    """When the next resident will have stayed as long as it may before it goes: its minimum, or its turn."""
    ends = (eviction.stays_until(view, r) for r in view.state.residents.values() if r.accepting)
    return min((end for end in ends if end > view.now), default=float("inf"))


def _quickest_s(view: View, model: Model) -> float:
    return min((view.load_s(node, model) for node in view.holders(model)), default=0.0)


def drain_s(view: View) -> float:
    """How long busy residents are expected to take to run empty: a mean answer, half the bound at most."""
    busy = (view.service_s(r.model) for r in view.state.residents.values() if r.in_flight)
    return min(max(busy, default=0.0), view.config.line_bound_s / 2)


def drain(
    view: View, model: Model, num_ctx: int, why: str, nodes: frozenset[str] | None = None
) -> list[Decision]:
    """Drain what is busy and in the way of `model`, on the node (of `nodes`) where that costs least."""
    for option in placement.options(view, model, num_ctx, busy=True):
        node = option.node.name
        if nodes is not None and node not in nodes:
            continue
        busy = [view.state.residents[node, m] for m in option.victims.models]
        drains: list[Decision] = [
            Drain(node=node, model=r.model, wanted_by=model.name, reason=why)
            for r in busy
            if r.in_flight and r.accepting
        ]
        if drains:
            return drains
    until = _settled_at(view)
    later = None if until == float("inf") else until
    return [
        Wait(model=model.name, until=later, eta_s=None, reason="What is in the way has not had its turn.")
    ]


def _refuse_or_wait(view: View, model: Model, line: Line) -> list[Decision]:
    """Refuse what no node can hold; what only pins or a busy node keep out waits."""
    largest = placement.largest_context(view, model)
    usual = context.bucket(model, 0, view.config)
    if largest >= context.bucket(model, line.num_ctx, view.config):
        return [
            Wait(model=model.name, until=None, eta_s=None, reason="There is no room beside what is pinned.")
        ]
    best = max(view.holders(model), key=lambda n: placement.capacity(view, n, model))
    detail = (
        f"{model.name} needs {placement.need(view, best, model, usual) / GB:.1f} GB at a context of {usual} "
        f"tokens; the most a node can give it is {placement.capacity(view, best, model) / GB:.1f} GB "
        f"({best.name})."
    )
    if largest:
        detail = (
            f"{model.name} fits with a context of {largest} tokens at most; {line.num_ctx} were asked for."
        )
    return [Refuse(model=model.name, num_ctx_over=largest or -1, reason="no_room", detail=detail)]


def load(view: View, model: Model, option: Option, cause: Cause, why: str) -> Load:
    """The decision to take an option, its numbers in the reason."""
    victims, free = option.victims, view.free(option.node)
    goes = (
        f" {', '.join(victims.models)} must go ({victims.regret_s:.1f} s regret)." if victims.models else ""
    )
    return Load(
        node=option.node.name,
        model=model.name,
        profile=option.profile,
        bytes=option.bytes,
        evict=victims.models,
        expected_s=option.load_s,
        cause=cause,
        reason=f"{why} It needs {option.bytes / GB:.1f} GB; {free / GB:.1f} GB are free.{goes}",
    )

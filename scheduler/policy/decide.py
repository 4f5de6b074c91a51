"""The decision: a State and a clock reading in, what to do out.

At most one action per node (load or evict); nodes act in parallel; nothing pinned or busy is evicted; a model
is loaded on one node at a time. In this order, so that what comes first has the nodes first:

1. Resume residents whose drain nobody needs any more.
2. Empty nodes that are being drained, and residents whose digest is stale.
3. What operators asked for.
4. Pins below their replicas.
5. Lines, the longest waiting first (a class of priority counts as `priority_s` of waiting): `switching`.
6. Replicas that nobody used for long retire; with `retire_idle_s` the last resident of a model does, too.

Prefetch comes after, in `prefetch.propose`, and only where all this leaves a node idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scheduler.policy import context, placement, switching
from scheduler.policy.config import DEFAULT, Config
from scheduler.policy.decisions import Cause, Decision, Drain, Evict, Resume
from scheduler.policy.state import Pin, Resident, State, Wish
from scheduler.policy.view import View, oldest_first


def decide(state: State, now: float, config: Config = DEFAULT) -> list[Decision]:
    """What to do now, by the order above. Pure: the state is only read."""
    return round_of(View(state, now, config))


def round_of(view: View) -> list[Decision]:
    """As `decide`, on a View that the caller may go on using (prefetch does)."""
    decisions = _taken(view, _resumes(view))  # 1
    decisions += _taken(view, _leavers(view))  # 2
    for wish in view.state.wishes:  # 3
        decisions += _taken(view, _wish(view, wish))
    for pin in view.state.pins:  # 4
        decisions += _taken(view, _pin(view, pin))
    for line in oldest_first(view.state.lines.values(), view.config.priority_s):  # 5
        decisions += _taken(view, switching.for_line(view, line))
    decisions += _taken(view, _retired(view))  # 6
    return decisions


def _taken(view: View, decisions: Iterable[Decision]) -> list[Decision]:
    """Commit decisions one by one, so that each sees what those before it took; none twice."""
    return [view.commit(d) for d in decisions if not view.repeats(d)]


def _resumes(view: View) -> Iterator[Decision]:
    for resident in view.state.residents.values():
        if resident.accepting or not _answers(view, resident):
            continue
        if _stale(view, resident) or _wished_away(view, resident) or _still_wanted(view, resident):
            continue
        if view.reserved.get(resident.node) == resident.wanted_by:
            view.reserved.pop(resident.node, None)
        yield Resume(node=resident.node, model=resident.model, reason="Nobody needs its room any more.")


def _still_wanted(view: View, resident: Resident) -> bool:
    """Whether the model for which this resident drains still waits for it."""
    wanted_by = resident.wanted_by
    line = view.state.lines.get(wanted_by or "")
    if wanted_by is None or view.loading.get(wanted_by):
        return False
    if wanted_by == resident.model:
        return line is not None and line.num_ctx > resident.profile.num_ctx
    served = any(
        r.accepting and (line is None or r.profile.num_ctx >= line.num_ctx) for r in view.of(wanted_by)
    )
    wanted = line is not None or any(
        pin.model == wanted_by and (pin.nodes is None or resident.node in pin.nodes)
        for pin in view.state.pins
    )
    return (wanted and not served) or any(
        w.kind == "load" and w.model == wanted_by for w in view.state.wishes
    )


def _answers(view: View, resident: Resident) -> bool:
    node = view.state.nodes.get(resident.node)
    return node is not None and node.healthy and node.name not in view.taken


def _stale(view: View, resident: Resident) -> bool:
    """Whether its node is being emptied, or holds another digest of the model by now."""
    if view.state.nodes[resident.node].draining:
        return True
    model = view.state.models.get(resident.model)
    return model is not None and model.digests.get(resident.node, resident.digest) != resident.digest


def _wished_away(view: View, resident: Resident) -> bool:
    return any(
        w.kind == "evict" and w.model == resident.model and w.node in (None, resident.node)
        for w in view.state.wishes
    )


def _leavers(view: View) -> Iterator[Decision]:
    for resident in view.state.residents.values():
        if resident.node in view.state.nodes and _stale(view, resident):
            yield from _leave(
                view, resident, "stale", "Its node is being emptied, or has a newer digest of it."
            )


def _leave(view: View, resident: Resident, cause: Cause, reason: str) -> Iterator[Decision]:
    """Evict when idle, drain when busy."""
    if not resident.in_flight and _answers(view, resident):
        yield Evict(node=resident.node, model=resident.model, cause=cause, reason=reason)
    elif resident.in_flight and resident.accepting:
        yield Drain(node=resident.node, model=resident.model, wanted_by=None, reason=reason)


def _wish(view: View, wish: Wish) -> Iterator[Decision]:
    model = view.state.models.get(wish.model)
    if wish.kind == "evict":
        for resident in view.of(wish.model):
            pinned = (resident.node, resident.model) in view.pinned()
            if wish.node in (None, resident.node) and not pinned:
                yield from _leave(view, resident, "operator", "An operator asked for it.")
    elif model is not None and not view.loading.get(wish.model):
        num_ctx = context.bucket(model, wish.num_ctx, view.config)
        ways = placement.options(view, model, num_ctx)
        way = next((w for w in ways if wish.node in (None, w.node.name)), None)
        if way is not None:
            yield switching.load(view, model, way, "operator", "An operator asked for it.")
        elif not any(wish.node in (None, r.node) for r in view.of(wish.model)):
            yield from switching.drain(view, model, num_ctx, "An operator asked for it.", _only(wish.node))


def _only(node: str | None) -> frozenset[str] | None:
    return None if node is None else frozenset((node,))


def _pin(view: View, pin: Pin) -> Iterator[Decision]:
    """Load a pinned model that has too few replicas; room is made by draining, never over other pins."""
    model = view.state.models.get(pin.model)
    if model is None:
        return
    there = [r for r in view.of(pin.model) if pin.nodes is None or r.node in pin.nodes]
    if len(there) >= pin.min_replicas or view.loading.get(pin.model):
        return
    num_ctx = context.bucket(model, 0, view.config)
    why = f"{pin.name or 'A pin'} wants {pin.min_replicas}, there are {len(there)}."
    for way in placement.options(view, model, num_ctx):
        if pin.nodes is None or way.node.name in pin.nodes:
            yield switching.load(view, model, way, "pin", why)
            return
    if not any(r.wanted_by == pin.model and r.in_flight for r in view.state.residents.values()):
        yield from switching.drain(view, model, num_ctx, why, pin.nodes)


def _retired(view: View) -> Iterator[Decision]:
    for model, residents in view.by_model.items():
        spare = [r for r in residents if r.accepting and not r.in_flight and _answers(view, r)]
        if not spare or model in view.state.lines:
            continue
        resident = min(spare, key=lambda r: (r.last_used, r.node))
        idle_s = view.now - max(resident.last_used, resident.loaded_at)
        others = len(residents) - 1
        allowed_s = view.config.replica_idle_s if others else view.config.retire_idle_s
        if allowed_s is not None and idle_s >= allowed_s and (resident.node, model) not in view.pinned():
            reason = f"Nobody used it for {idle_s:.0f} s; {others} other resident(s) remain."
            yield Evict(node=resident.node, model=model, cause="retire", reason=reason)

"""What a pinning policy would do at once: the very decisions of a round, carried out on paper.

Decided as `decide` does, with the pins alone: no lines and no wishes. Every load is taken to succeed, and who
drains to have run empty, until the pins ask for nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scheduler.policy import pins
from scheduler.policy.config import DEFAULT, Config
from scheduler.policy.decide import decide
from scheduler.policy.decisions import Drain, Load
from scheduler.policy.pins import Policy
from scheduler.policy.state import Pin, Resident, State
from scheduler.policy.view import View

MOST_ROUNDS = 32  # pins of one policy that are followed; a glob may name more models than that

Place = tuple[str, str]  # node, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A load that the policy asks for, and what goes for it."""

    load: Load
    busy: tuple[str, ...]  # of those that go, the ones that run requests now: they drain first


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`kept`: residents that the policy would keep from eviction. `unmet`: what it wants and cannot have now,
    in sentences."""

    kept: tuple[Place, ...]
    steps: tuple[Step, ...]
    unmet: tuple[str, ...]

    @property
    def evicted(self) -> tuple[Place, ...]:
        return tuple((step.load.node, model) for step in self.steps for model in step.load.evict)


def preview(
    state: State, policy: Policy, others: Iterable[Policy], now: float, config: Config = DEFAULT
) -> Preview:
    """What comes of `policy` beside the other policies, as if its window were open."""
    others = list(others)
    own = pins.resolve([replace(policy, windows=())], state.models, state.nodes, now)
    before = pins.resolve(others, state.models, state.nodes, now)
    loads_before = {(load.node, load.model) for load, _ in _settled(state, before, now, config)[0]}
    both = sorted([*own, *before], key=lambda pin: (-pin.priority, pin.name, pin.model))
    loads, end = _settled(state, both, now, config)
    wanted = {pin.model for pin in own}
    return Preview(
        kept=_kept(state, before, both, now, config),
        steps=tuple(
            Step(load=load, busy=busy)
            for load, busy in loads
            if load.model in wanted and (load.node, load.model) not in loads_before
        ),
        unmet=tuple(sentence for pin in own if (sentence := _unmet(end, pin))),
    )


def _settled(
    state: State, wanted: Sequence[Pin], now: float, config: Config
) -> tuple[list[tuple[Load, tuple[str, ...]]], State]:
    """The loads that these pins ask for, one after the other, with the busy ones among their victims; and
    the state after them."""
    state, loads = replace(state, pins=wanted), []
    busy = {place for place, resident in state.residents.items() if resident.in_flight}
    for _ in range(MOST_ROUNDS):
        asked = [d for d in decide(state, now, config) if _for_a_pin(d, wanted)]
        fresh = [decision for decision in asked if isinstance(decision, Load)]
        drains = [decision for decision in asked if isinstance(decision, Drain)]
        if not fresh and not drains:
            break
        for load in fresh:
            loads.append((load, tuple(m for m in load.evict if (load.node, m) in busy)))
            state = _loaded(state, load, now)
        for drain in drains:
            state = _emptied(state, drain)
    return loads, state


def _for_a_pin(decision: object, wanted: Sequence[Pin]) -> bool:
    if isinstance(decision, Load):
        return decision.cause == "pin"
    return isinstance(decision, Drain) and any(pin.model == decision.wanted_by for pin in wanted)


def _loaded(state: State, load: Load, now: float) -> State:
    residents = dict(state.residents)
    freed = sum(residents.pop((load.node, model)).bytes for model in load.evict)
    residents[load.node, load.model] = Resident(
        node=load.node,
        model=load.model,
        digest=state.models[load.model].digests[load.node],
        profile=load.profile,
        bytes=load.bytes,
        loaded_at=now,
        last_used=now,
        cause="pin",
    )
    node = state.nodes[load.node]
    free = None if node.free_bytes is None else node.free_bytes + freed - load.bytes
    nodes = {**state.nodes, load.node: replace(node, free_bytes=free)}
    return replace(state, nodes=nodes, residents=residents)


def _emptied(state: State, drain: Drain) -> State:
    """The resident ran empty, and its room waits for who wanted it."""
    place = (drain.node, drain.model)
    idle = replace(state.residents[place], in_flight=0, accepting=False, wanted_by=drain.wanted_by)
    return replace(state, residents={**state.residents, place: idle})


def _kept(
    state: State, before: Sequence[Pin], both: Sequence[Pin], now: float, config: Config
) -> tuple[Place, ...]:
    def protected(wanted: Sequence[Pin]) -> set[Place]:
        return View(replace(state, pins=wanted), now, config).pinned()

    return tuple(sorted(protected(both) - protected(before)))


def _unmet(end: State, pin: Pin) -> str:
    there = [
        node
        for node, model in end.residents
        if model == pin.model and (pin.nodes is None or node in pin.nodes)
    ]
    if len(there) >= pin.min_replicas:
        return ""
    missing = pin.min_replicas - len(there)
    return f"{missing} of the {pin.min_replicas} wanted of {pin.model} has no place now: {_why(end, pin)}"


def _why(end: State, pin: Pin) -> str:
    holders = [end.nodes[name] for name in end.models[pin.model].digests if name in end.nodes]
    able = [node for node in holders if pin.nodes is None or node.name in pin.nodes]
    if not able:
        return "none of its nodes has the model."
    away = [node for node in able if not node.healthy or node.draining or node.quarantined_until > 0]
    if len(away) == len(able):
        return f"{', '.join(sorted(node.name for node in away))} can take no load."
    return "what is in the way is pinned itself, or was loaded a moment ago."

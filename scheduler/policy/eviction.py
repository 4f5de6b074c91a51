"""Eviction: which idle residents go, so that enough room comes free at the least expected regret.

Regret of a resident = chance that it is asked for again within a horizon x seconds its load would take,
summed over the horizons. A replica is worth a tenth: another resident answers meanwhile.

Candidates, in this order of exclusion:
1. pinned residents never go;
2. a resident that drains for another model is spoken for;
3. busy residents go only after draining (`busy=True` asks what to drain), and not before they had their turn;
4. a resident just loaded stays its minimum residency.
Of the rest, the cheapest subset that frees enough: exact for up to `exact_victims`, else by regret per byte
with the superfluous ones put back. The original rule (least recently used first) is `eviction="order"`
without a forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policy import packing
from scheduler.policy.state import Node, Resident
from scheduler.policy.view import View

REPLICA_WORTH = 0.1
BUSY_WORTH = 1.0  # seconds of regret that draining adds, times the service it waits for


@dataclass(frozen=True, slots=True)
class Victims:
    """Residents to evict, in order, and the seconds their absence is expected to cost."""

    models: tuple[str, ...]
    regret_s: float
    freed: int  # bytes


NOBODY = Victims((), 0.0, 0)


def choose(
    view: View,
    node: Node,
    bytes_wanted: int,
    *,
    for_model: str,
    count: int = 0,
    busy: bool = False,
    without: str | None = None,
    horizons: tuple[float, ...] | None = None,
) -> Victims | None:
    """The cheapest residents, at least `count`, that free `bytes_wanted`; None if too few may go."""
    if bytes_wanted <= 0 and count <= 0:
        return NOBODY
    horizons = horizons or view.config.horizons_s
    offers = [
        (regret(view, r, horizons), packing.held(r, view.config), r.model)
        for r in view.on(node.name)
        if r.model != without and may_go(view, r, for_model=for_model, busy=busy)
    ]
    if sum(offer[1] for offer in offers) < bytes_wanted or len(offers) < count:
        return None
    if view.config.eviction == "order":
        return _in_order(offers, bytes_wanted, count)
    if len(offers) <= view.config.exact_victims:
        return _exact(offers, bytes_wanted, count)
    return _greedy(offers, bytes_wanted, count)


def may_go(view: View, resident: Resident, *, for_model: str, busy: bool = False) -> bool:
    if (resident.node, resident.model) in view.pinned():  # 1
        return False
    if resident.wanted_by is not None and resident.wanted_by != for_model:  # 2
        return False
    if resident.in_flight and not busy:  # 3
        return False
    return not resident.accepting or view.now >= stays_until(view, resident, for_model)  # 3, 4


def stays_until(view: View, resident: Resident, for_model: str = "") -> float:
    """When a resident has stayed its minimum or, busy, has had its turn: else loads eat all the time. But
    what was prefetched, and used by nobody yet, keeps no real demand waiting."""
    if not resident.used and for_model in view.state.lines:
        return resident.loaded_at
    turn_s = view.config.quantum_loads * (resident.load_s or 0.0) if resident.in_flight else 0.0
    turn_s = min(turn_s, view.config.line_bound_s / 2)  # a long turn would be another line's long wait
    return resident.loaded_at + max(turn_s, view.config.min_residency_s)


def regret(view: View, resident: Resident, horizons: tuple[float, ...]) -> float:
    """Seconds that evicting this resident is expected to cost."""
    if view.config.eviction == "order":
        return chance(view, resident, horizons[0])
    node, model = view.state.nodes[resident.node], view.state.models.get(resident.model)
    load_s = resident.load_s if model is None else view.load_s(node, model)
    worth = sum(chance(view, resident, h) for h in horizons) * (load_s or 1.0)
    worth *= REPLICA_WORTH if len(view.by_model[resident.model]) > 1 else 1.0
    line = view.state.lines.get(resident.model)
    waiting = line.waiting if line is not None and resident.accepting else 0
    return (
        worth + resident.in_flight * BUSY_WORTH * view.service_s(resident.model) + waiting * (load_s or 1.0)
    )


def chance(view: View, resident: Resident, horizon_s: float) -> float:
    """Chance of reuse: the forecast's, or by recency alone where nothing was learned."""
    if view.state.forecast is not None:
        return view.state.forecast.chance(resident.model, view.now, horizon_s)
    return horizon_s / (horizon_s + max(view.now - resident.last_used, 0.0))


Offer = tuple[float, int, str]  # regret, bytes, model


def _exact(offers: list[Offer], wanted: int, count: int) -> Victims:
    """The subset of least regret that frees enough, by branch and bound over a few candidates."""
    offers = sorted(offers, key=lambda o: (-o[1], o[2]))
    rest = [sum(o[1] for o in offers[i:]) for i in range(len(offers) + 1)]
    best: tuple[float, tuple[int, ...]] = (float("inf"), ())
    stack: list[tuple[int, int, float, tuple[int, ...]]] = [(0, 0, 0.0, ())]
    while stack:
        i, freed, cost, chosen = stack.pop()
        if cost >= best[0] or freed + rest[i] < wanted or len(chosen) + len(offers) - i < count:
            continue
        if freed >= wanted and len(chosen) >= count:
            best = (cost, chosen)
            continue
        stack.append((i + 1, freed, cost, chosen))
        stack.append((i + 1, freed + offers[i][1], cost + offers[i][0], (*chosen, i)))
    return _victims([offers[i] for i in best[1]])


def _greedy(offers: list[Offer], wanted: int, count: int) -> Victims:
    """By regret per byte until enough is freed; then put back what is not needed, the dearest first."""
    chosen: list[Offer] = []
    freed = 0
    for offer in sorted(offers, key=lambda o: (o[0] / max(o[1], 1), o[2])):
        if freed >= wanted and len(chosen) >= count:
            break
        chosen.append(offer)
        freed += offer[1]
    for offer in sorted(chosen, key=lambda o: -o[0]):
        if freed - offer[1] >= wanted and len(chosen) > count:
            chosen.remove(offer)
            freed -= offer[1]
    return _victims(chosen)


def _in_order(offers: list[Offer], wanted: int, count: int) -> Victims:
    """The least likely to be used again first, whatever their size; LRU where nothing is forecast."""
    chosen: list[Offer] = []
    for offer in sorted(offers, key=lambda o: (o[0], o[2])):
        if sum(o[1] for o in chosen) >= wanted and len(chosen) >= count:
            break
        chosen.append(offer)
    return _victims(chosen)


def _victims(offers: list[Offer]) -> Victims:
    return Victims(tuple(o[2] for o in offers), sum(o[0] for o in offers), sum(o[1] for o in offers))

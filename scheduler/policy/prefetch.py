"""Prefetch: load before anyone asks, where the seconds it is expected to save exceed the harm.

1. While a cold line waits, nothing is prefetched: real demand has the loaders.
2. Candidates are resident nowhere, loading nowhere, and have at least `prefetch_chance` within the horizon
   (30 s, doubled until it is three load times).
3. On each node that is idle and spoken for by nobody, a candidate is worth
   chance x load seconds - margin x regret of what would go - a small cost; the best worth above 0 wins.
4. The original rule instead (`prefetch="confidence"`): what follows the current model with 60 % or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from scheduler.policy import context, placement, switching
from scheduler.policy.decisions import Load
from scheduler.policy.placement import Option
from scheduler.policy.state import Model, Node
from scheduler.policy.view import View


class Predictor(Protocol):
    """What prefetch asks of a predictor."""

    def observe(self, at: float, key: str, model: str, hint: str | None = None) -> None:
        """A request of `key` for `model` arrived; `hint` is the model it says to ask for next."""

    def chances(self, now: float, horizon_s: float, steps: int) -> Mapping[str, float]:
        """The chance of each model to be asked for within the horizon."""


def propose(view: View, predictor: Predictor, margin: float | None = None) -> list[Load]:
    """The prefetches that are worth it, at most one per idle node."""
    if view.config.prefetch == "off" or cold_demand(view):  # 1
        return []
    nodes = [n for n in view.state.nodes.values() if is_free(view, n)]
    if not nodes:
        return []
    margin = view.config.prefetch_margin if margin is None else margin
    chosen: list[Load] = []
    for model, chance, horizon_s in candidates(view, predictor):
        best: tuple[float, Option] | None = None
        for node in nodes:
            if node.name in view.taken or not view.may_load(node, model):
                continue
            option = placement.on(view, node, model, context.usual(model), horizons=(horizon_s,))
            worth = 0.0 if option is None else worth_s(view, option, chance, margin)
            if option is not None and worth > 0 and (best is None or worth > best[0]):
                best = (worth, option)
        if best is not None:
            why = (
                f"{chance:.0%} within {horizon_s:.0f} s; worth {best[0]:.1f} s after a margin of {margin:g}."
            )
            chosen.append(switching.load(view, model, best[1], "prefetch", why))
            view.commit(chosen[-1])
    return chosen


def cold_demand(view: View) -> bool:
    """Whether somebody waits for a model that no resident serves."""
    return any(not any(r.accepting for r in view.of(model)) for model in view.state.lines)


def is_free(view: View, node: Node) -> bool:
    return (
        view.can_act(node)
        and not node.draining
        and node.quarantined_until <= view.now
        and node.name not in view.reserved
    )


def worth_s(view: View, option: Option, chance: float, margin: float) -> float:
    """Seconds that this prefetch is expected to save, harm and cost deducted (3)."""
    if view.config.prefetch == "confidence":
        return chance - view.config.prefetch_confidence + 1e-9  # 4
    gain = chance * option.load_s
    return gain - margin * option.victims.regret_s - view.config.prefetch_cost * option.load_s


def candidates(view: View, predictor: Predictor) -> list[tuple[Model, float, float]]:
    """(model, chance, horizon) of what may be prefetched, the most seconds at stake first (2)."""
    config = view.config
    least = config.prefetch_confidence if config.prefetch == "confidence" else config.prefetch_chance
    found: list[tuple[float, Model, float, float]] = []
    for name, chance in predictor.chances(view.now, config.prefetch_horizon_s, 1).items():
        if chance < least / 4 or name in view.by_model or view.loading.get(name):
            continue  # a longer horizon raises a chance a few times at most
        model = view.state.models.get(name)
        if model is None or not model.prefetch:
            continue
        load_s = min((view.load_s(n, model) for n in view.holders(model)), default=0.0)
        horizon_s = horizon(config.prefetch_horizon_s, load_s)
        chance = predictor.chances(view.now, horizon_s, 1).get(name, 0.0)
        if chance >= least:
            found.append((chance * load_s, model, chance, horizon_s))
    found.sort(key=lambda c: (-c[0], c[1].name))
    return [(m, p, h) for _, m, p, h in found[: config.prefetch_candidates]]


def horizon(least_s: float, load_s: float) -> float:
    """Three load times, rounded up so that few horizons are asked for."""
    while least_s < 3 * load_s:
        least_s *= 2
    return least_s

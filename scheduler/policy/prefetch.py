"""Prefetch: load before anyone asks, where the seconds it is expected to save exceed the harm.

1. While a cold line waits, nothing is prefetched: real demand has the loaders.
2. Candidates are resident nowhere, loading nowhere, and have at least `prefetch_chance` within the horizon
   (30 s, doubled until it is three load times).
3. On each node that is idle and spoken for by nobody, a candidate is worth
   chance x load seconds - margin x regret of what would go - a small cost
   - (1 - chance) x the delay of others; the best worth above 0 wins.
   Delay: whoever asks for another absent model during the load waits half of it on average, if no other node
   is idle. A load that somebody comes for would have been in their way later anyhow.
4. The original rule instead (`prefetch="confidence"`): what follows the current model with 60 % or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from scheduler.policy import context, placement, switching
from scheduler.policy.account import Account
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.hints import Hint
from scheduler.policy.placement import Option
from scheduler.policy.state import Model, Node
from scheduler.policy.view import View


class Predictor(Protocol):
    """What prefetch asks of a predictor."""

    def observe(self, at: float, key: str, model: str, said: Sequence[Hint] = (), session: str = "") -> None:
        """A request of `key` for `model` arrived; `said` is what its app says comes next, in order."""

    def following(self, key: str, session: str = "") -> Mapping[str, float]:
        """What this key is likely to ask for next, whenever that is."""

    def chances(self, now: float, horizon_s: float, steps: int) -> Mapping[str, float]:
        """The chance of each model to be asked for within the horizon."""


@dataclass(slots=True)
class Proposals:
    """What to prefetch now, and whether more would be worth it once something busy runs idle."""

    loads: list[Load] = field(default_factory=list)
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may be worth a load, and how likely somebody asks for it within the horizon."""

    model: Model
    chance: float
    horizon_s: float


def propose(view: View, predictor: Predictor, account: Account) -> Proposals:
    """The prefetches that are worth it, at most one per idle node."""
    if view.config.prefetch == "off" or cold_demand(view):  # 1
        return Proposals(blocked=True)
    nodes = [n for n in view.state.nodes.values() if is_free(view, n)]
    proposals = Proposals(blocked=len(nodes) < len(view.state.nodes))
    if not nodes:
        return proposals
    demand = _absent_demand(view, predictor) / len(nodes)
    for candidate in candidates(view, predictor, account):
        best = _best(view, nodes, candidate, demand, account)
        if best is None:
            proposals.blocked = True
            continue
        worth, option = best
        why = (
            f"{candidate.chance:.0%} within {candidate.horizon_s:.0f} s; "
            f"worth {worth:.1f} s at a margin of {account.margin:.1f}."
        )
        load = switching.load(view, candidate.model, option, "prefetch", why)
        proposals.loads.append(load)
        view.commit(load)
    return proposals


def _best(
    view: View, nodes: list[Node], candidate: Candidate, demand: float, account: Account
) -> tuple[float, Option] | None:
    """The node where a prefetch is worth most; None where it is worth nothing (3)."""
    best: tuple[float, Option] | None = None
    model = candidate.model
    for node in nodes:
        if not view.may_load(node, model):
            continue
        option = placement.on(view, node, model, context.usual(model), horizons=(candidate.horizon_s,))
        if option is None:
            continue
        worth = worth_s(view.config, option, candidate, demand, account.margin)
        if worth > 0 and (best is None or worth > best[0]):
            best = (worth, option)
    return best


def cold_demand(view: View) -> bool:
    """Whether somebody waits for a model that no resident serves."""
    return any(not any(r.accepting for r in view.of(model)) for model in view.state.lines)


def is_free(view: View, node: Node) -> bool:
    """Whether a prefetch may be put there. Where nobody knows the VRAM, not beside others: Ollama would make
    room by rules of its own, over a pin too."""
    return (
        (node.vram_known or not view.on(node.name))
        and view.can_act(node)
        and not node.draining
        and node.quarantined_until <= view.now
        and node.name not in view.reserved
    )


def worth_s(config: Config, option: Option, candidate: Candidate, demand: float, margin: float) -> float:
    """Seconds that this prefetch is expected to save, harm, delay and cost deducted (3).

    `demand` is how many requests per second come for absent models, the candidate among them.
    """
    chance, load_s = candidate.chance, option.load_s
    if config.prefetch == "confidence":
        return chance - config.prefetch_confidence + 1e-9  # 4
    others = min(max(demand - chance / candidate.horizon_s, 0.0) * load_s, 1.0)
    delay_s = (1.0 - chance) * others * load_s / 2
    return chance * load_s - margin * option.victims.regret_s - config.prefetch_cost * load_s - delay_s


def _absent_demand(view: View, predictor: Predictor) -> float:
    """Requests per second that are expected for models which are resident nowhere."""
    if view.config.prefetch == "confidence":
        return 0.0
    horizon_s = view.config.prefetch_horizon_s
    chances = predictor.chances(view.now, horizon_s, 1)
    return sum(p for m, p in chances.items() if m not in view.by_model and m not in view.loading) / horizon_s


def candidates(view: View, predictor: Predictor, account: Account) -> list[Candidate]:
    """What may be prefetched, the most seconds at stake first (2)."""
    config = view.config
    least = config.prefetch_confidence if config.prefetch == "confidence" else account.least_chance
    found: list[tuple[float, Candidate]] = []
    for name, chance in predictor.chances(view.now, config.prefetch_horizon_s, 1).items():
        if chance < least / 4 or name in view.by_model or view.loading.get(name):
            continue  # a longer horizon raises a chance a few times at most
        model = view.state.models.get(name)
        if model is None or not model.prefetch or not account.allows(name, view.now):
            continue
        load_s = min((view.load_s(n, model) for n in view.holders(model)), default=0.0)
        horizon_s = horizon(config.prefetch_horizon_s, load_s)
        chance = predictor.chances(view.now, horizon_s, 1).get(name, 0.0)
        if chance >= least:
            found.append((chance * load_s, Candidate(model, chance, horizon_s)))
    found.sort(key=lambda c: (-c[0], c[1].model.name))
    return [candidate for _, candidate in found[: config.prefetch_candidates]]


def horizon(least_s: float, load_s: float) -> float:
    """Three load times, rounded up so that few horizons are asked for."""
    while least_s < 3 * load_s:
        least_s *= 2
    return least_s

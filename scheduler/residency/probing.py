"""The half-open probe: whether a node in quarantine can load again, found out before clients depend on it.

When a quarantine is over:
1. something is loaded there that the node has, that fits beside what is resident, and that someone waits for;
   else the smallest such model;
2. it succeeds: the quarantine ends, and what nobody waits for is taken out again;
3. it hangs: the quarantine starts anew and lasts twice as long;
4. there is nothing to try with: the next real load is the probe.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.policy import context, packing
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.state import Model, Node, State
from scheduler.policy.view import View
from scheduler.residency.loading import load
from scheduler.residency.means import Means
from scheduler.residency.sight import Sight
from scheduler.residency.unloading import clear


def due(sights: Iterable[Sight], now: float) -> list[str]:
    """Nodes whose quarantine is over."""
    return [s.node for s in sights if s.up and s.quarantined and s.quarantined_until <= now]


def candidate(state: State, node: Node, now: float, config: Config) -> Load | None:
    """What to try with (1); None when there is nothing."""
    view = View(state, now, config)
    fitting = []
    for model in state.models.values():
        if node.name not in model.digests or (node.name, model.name) in state.residents:
            continue
        need = _need(view, model, node)
        if need <= view.free(node):
            fitting.append((model.name not in state.lines, need, model))
    if not fitting:
        return None
    _, need, model = min(fitting, key=lambda each: each[:2])
    return Load(
        node=node.name,
        model=model.name,
        profile=context.profile(model, node, context.usual(model)),
        bytes=need,
        expected_s=view.load_s(node, model),
        cause="demand",
        reason="A probe, because loads had hung there.",
    )


def _need(view: View, model: Model, node: Node) -> int:
    profile = context.profile(model, node, context.usual(model))
    return packing.need(model, model.digests[node.name], profile, view.state.stats, view.config)


async def probe(means: Means, decision: Load) -> None:
    """Try (1 to 3)."""
    await load(means, decision, "")
    if means.fleet.sights[decision.node].quarantined:
        return
    waiting = {line.model for line in await means.board.demand()}
    running = {each.model for each in await means.board.loads() if each.in_flight}
    if decision.model not in waiting | running:
        await clear(means, decision.node, decision.model, "probe", "The probe has shown what it should.")

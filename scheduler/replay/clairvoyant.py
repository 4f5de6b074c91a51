"""The future, known: what no policy can have, as a yardstick for those that must guess.

`belady` evicts what is needed latest and loads only on demand. `oracle` also loads ahead: whatever is needed
soonest and is not there, as long as what goes for it is needed later. Both are greedy heuristics: exact only
for models of one size, and no proven optimum.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from scheduler.policy import context, placement, prefetch, switching
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.foresight import NEVER, Foresight
from scheduler.policy.hints import Hint
from scheduler.policy.prefetch import Proposals
from scheduler.policy.view import View
from scheduler.replay.trace import Trace


class Clairvoyant:
    """Knows when each model is asked for next."""

    def __init__(self, trace: Trace) -> None:
        self.uses: dict[str, list[float]] = {name: [] for name in trace.model_names}
        for model, at in zip(trace.models, trace.times, strict=True):
            self.uses[trace.model_names[model]].append(at)

    def next_use(self, model: str, now: float) -> float:
        uses = self.uses[model]
        at = bisect_right(uses, now)
        return uses[at] if at < len(uses) else NEVER

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        """The sooner, the nearer to 1: an order rather than a probability."""
        return 1.0 / (1.0 + (self.next_use(model, now) - now) / horizon_s)

    def observe(self, at: float, key: str, model: str, said: Sequence[Hint] = (), session: str = "") -> None:
        """Nothing to learn."""

    def following(self, key: str, session: str = "") -> Mapping[str, float]:
        return dict.fromkeys(self.uses, 1.0)

    def chances(self, now: float, horizon_s: float, steps: int) -> Mapping[str, float]:
        return {model: self.chance(model, now, horizon_s) for model in self.uses}


class Omniscient(Foresight):
    """Loads ahead by the known future; it has no need to account for itself."""

    def __init__(self, future: Clairvoyant, config: Config) -> None:
        super().__init__(future, config)
        self.future = future
        self.keeps_account = False

    def proposals(self, view: View) -> Proposals:
        """For each idle node the model that is needed soonest, if what goes for it is needed later."""
        if prefetch.cold_demand(view):
            return Proposals(blocked=True)
        absent = sorted(
            (self.future.next_use(name, view.now), name)
            for name in self.future.uses
            if name not in view.by_model and not view.loading.get(name)
        )
        proposals = Proposals(blocked=bool(absent))
        for due, name in absent:
            if due == NEVER:
                break
            for load in self._earlier(view, name, due):
                proposals.loads.append(load)
                view.commit(load)
        return proposals

    def _earlier(self, view: View, name: str, due: float) -> list[Load]:
        model, next_use = view.state.models[name], self.future.next_use
        for node in view.state.nodes.values():
            if not prefetch.is_free(view, node) or not view.may_load(node, model):
                continue
            option = placement.on(view, node, model, context.usual(model))
            if option and all(next_use(v, view.now) > due for v in option.victims.models):
                return [switching.load(view, model, option, "prefetch", f"Needed in {due - view.now:.1f} s.")]
        return []

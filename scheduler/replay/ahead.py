"""Prefetching within a replay: when the policy is asked for proposals, and the account of how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scheduler.policy import prefetch
from scheduler.policy.account import Account, Ending
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.hints import Hint
from scheduler.policy.prefetch import Predictor, Proposals
from scheduler.policy.view import View
from scheduler.replay.clairvoyant import Clairvoyant

AGAIN_S = 60.0  # chances move with time alone: ask again so long after an arrival
QUIET_S = 120.0  # and again every so often, until nobody came for this long


class Ahead:
    """Asks for prefetches only where an answer may have changed: that is what makes a replay quick.

    1. A key asks for a model: its next one may be absent.
    2. Something that stood in the way is gone: a load ended, a resident ran idle.
    3. Time passed.
    """

    def __init__(self, predictor: Predictor, config: Config) -> None:
        self.predictor = predictor
        self.account = Account(config)
        self.keeps_account = config.prefetch == "value" and not isinstance(predictor, Clairvoyant)
        self.on = config.prefetch != "off"
        self.shadow = config.prefetch_shadow
        self.due = False
        self.blocked = False
        self.ask_at = float("inf")
        self.latest = 0.0
        self.endings: list[Ending] = []

    def arrived(
        self, at: float, key: str, model: str, said: Sequence[Hint], absent: Callable[[str], bool] | None
    ) -> None:
        """Somebody asks for a model. `absent` says whether one is nowhere; None when none is."""
        self.predictor.observe(at, key, model, said)
        self.latest = at
        if not self.on:
            return
        if self.keeps_account:
            self.endings += self.account.arrived(model, at)
        if not self.due and absent is not None:
            least = self.account.least_chance
            following = self.predictor.following(key)
            self.due = any(share >= least and absent(name) for name, share in following.items())  # 1

    def freed(self) -> None:
        """A load ended, or a resident ran idle (2)."""
        if self.blocked:
            self.due = True

    def passed(self, now: float) -> float:
        """Time passed (3). When to ask again; infinity after a quiet time."""
        self.due = self.on
        self.endings += self.account.forget(now)
        return now + AGAIN_S if now - self.latest < QUIET_S else float("inf")

    def propose(self, view: View) -> list[Load]:
        self.due = False
        if isinstance(self.predictor, Clairvoyant):
            proposals: Proposals = self.predictor.propose(view)
        else:
            proposals = prefetch.propose(view, self.predictor, self.account)
        self.blocked = proposals.blocked
        if self.keeps_account:
            for load in proposals.loads:
                self._book(view, load)
        return [] if self.shadow else proposals.loads

    def _book(self, view: View, load: Load) -> None:
        lost = {v: self._load_s(view, load.node, v) for v in load.evict}
        self.endings += self.account.started(
            load.node, load.model, view.now, load.expected_s, lost, shadow=self.shadow
        )

    def evicted(self, node: str, model: str, at: float) -> None:
        if self.keeps_account:
            self.endings += self.account.evicted(node, model, at)

    @staticmethod
    def _load_s(view: View, node: str, model: str) -> float:
        return view.load_s(view.state.nodes[node], view.state.models[model])

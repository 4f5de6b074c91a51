"""Foresight: prediction, proposals and their account in the hands of whoever carries prefetches out.

Live it is the leader, in simulated time the replay; both tell it the same five things:
1. `arrived`: a key asks for a model. Its next one may be absent.
2. `freed`: something that stood in the way is gone: a load ended, a resident ran idle.
3. `passed`: time passed.
4. `evicted`: a resident went, used or not.
5. `called_off`: a load that was proposed did not come to pass.
Then, where `due`, `propose` is asked with the same View that the round before has decided on. Asking only
where an answer may have changed is what makes a replay quick; asking more often changes nothing but time.

In shadow mode (`prefetch_shadow`) proposals are scored as if they were carried out, and none is returned.
How prefetches ended lies in `endings` until the caller takes them out, for the ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from scheduler.policy import prefetch
from scheduler.policy.account import Account, Ending
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.hints import Hint
from scheduler.policy.prefetch import Predictor, Proposals
from scheduler.policy.view import View

AGAIN_S = 60.0  # chances move with time alone: ask again so long after an arrival
QUIET_S = 120.0  # and again every so often, until nobody came for this long
MOST_ENDINGS = 100_000  # kept until they are taken; the oldest are lost beyond
NEVER = float("inf")


class Foresight:
    """Says what to prefetch, when that is worth asking, and what came of it."""

    def __init__(self, predictor: Predictor, config: Config) -> None:
        self.predictor = predictor
        self.config = config
        self.account = Account(config)
        self.keeps_account = config.prefetch == "value"
        self.on = config.prefetch != "off"
        self.due = False
        self.endings: deque[Ending] = deque(maxlen=MOST_ENDINGS)
        self._blocked = False
        self._wanted: set[str] = set()  # models that were absent when asked for, and not seen since
        self._latest = 0.0

    def arrived(
        self,
        at: float,
        key: str,
        model: str,
        said: Sequence[Hint] = (),
        session: str = "",
        absent: Callable[[str], bool] | None = None,
    ) -> None:
        """Somebody asks for a model (1). `absent` says whether a model is nowhere; None when none is."""
        self.predictor.observe(at, key, model, said, session)
        self._latest = at
        if not self.on:
            return
        if self.keeps_account:
            self.endings += self.account.arrived(model, at)
        self._count_demand(model, absent)
        if not self.due and absent is not None:
            least = self.account.least_chance
            following = self.predictor.following(key, session)
            self.due = any(share >= least and absent(name) for name, share in following.items())

    def _count_demand(self, model: str, absent: Callable[[str], bool] | None) -> None:
        """Who asks for an absent model causes one load, however many more ask before it is there."""
        if absent is None or not absent(model):
            self._wanted.discard(model)
        elif model not in self._wanted:
            self._wanted.add(model)
            self.account.demanded()

    def freed(self) -> None:
        """A load ended, or a resident ran idle (2)."""
        if self._blocked:
            self.due = True

    def passed(self, now: float) -> float:
        """Time passed (3). Returns when to call again at the latest; infinity after a quiet time."""
        self.due = self.on
        self.endings += self.account.forget(now)
        return now + AGAIN_S if now - self._latest < QUIET_S else NEVER

    def evicted(self, node: str, model: str, at: float) -> None:
        """A resident went (4)."""
        self._wanted.discard(model)
        if self.keeps_account:
            self.endings += self.account.evicted(node, model, at)

    def called_off(self, node: str, model: str) -> None:
        """A proposed load did not come to pass (5): it is nobody's merit and nobody's fault."""
        self.account.called_off(node, model)

    def propose(self, view: View) -> list[Load]:
        """What to prefetch now; empty in shadow mode."""
        self.due = False
        proposals = self.proposals(view)
        self._blocked = proposals.blocked
        if self.keeps_account:
            for load in proposals.loads:
                lost = {v: _load_s(view, load.node, v) for v in load.evict}
                self.endings += self.account.started(
                    load.node,
                    load.model,
                    view.now,
                    load.expected_s,
                    lost,
                    shadow=self.config.prefetch_shadow,
                )
        return [] if self.config.prefetch_shadow else proposals.loads

    def proposals(self, view: View) -> Proposals:
        """The policy's answer, nothing booked."""
        return prefetch.propose(view, self.predictor, self.account)


def _load_s(view: View, node: str, model: str) -> float:
    """Seconds that a victim's load would take; 0 for one that is in no catalogue."""
    known = view.state.models.get(model)
    return 0.0 if known is None else view.load_s(view.state.nodes[node], known)

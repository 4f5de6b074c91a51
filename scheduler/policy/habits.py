"""Habits: what is known of one key, and what follows for its next requests.

1. When: its gaps after the model it used last, with its own and everybody's gaps as priors. A key may also
   never come back, as often as keys did not: each new key stands for one that went.
2. For what: what it or a workflow says; else its transitions from that model, with everybody's as a prior.
3. For a longer horizon, up to three steps ahead: the chance that a step is the first to reach a model, times
   the chance that so many requests come. Of the requests that come beyond, each that does not repeat the
   model before goes to what the key uses, by its shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.policy.gaps import Gaps, chance
from scheduler.policy.hints import BELIEVED, MOST_STEPS, Hint, Trust
from scheduler.policy.sessions import rounded
from scheduler.policy.transitions import Transitions

HABIT_PRIOR = 3.0  # gaps that a key's own habit counts for, beside those after the same model
MOST_PAUSES = 8  # models after which a key's gaps are kept
KEY_PRIOR = 1.0  # gaps that the shared habit counts for
MOST_NEVER = 0.9  # of the waits of keys: where nearly all came once, nothing else is known
MOST_REQUESTS = 60.0  # within a horizon
FAINT = 0.05  # what comes after a model that is less likely than this is not followed up


@dataclass(slots=True)
class Shared:
    """What several keys, or several sessions of one key, do together: the prior of each."""

    transitions: Transitions
    gaps: Gaps = field(default_factory=Gaps)
    beyond: Shared | None = None  # of a key's sessions: everybody's, for what this key never did

    def mixed(self, own: Transitions, before: str) -> Mapping[str, float]:
        """The share of each model after `before`, `own` counts first."""
        known = self.beyond is None or before in self.transitions.rows
        return own.mixed(
            before, self.transitions if known or self.beyond is None else self.beyond.transitions
        )


@dataclass(slots=True)
class Key:
    """What is known of one API key or app, or of one of its sessions."""

    last_at: float
    latest: tuple[str, ...]  # the models it used, the last one last; at most MOST_STEPS
    gaps: Gaps = field(default_factory=Gaps)
    gaps_after: dict[str, Gaps] = field(default_factory=dict)  # by the model that it used before the gap
    transitions: Transitions = field(default_factory=Transitions)
    said: tuple[Hint, ...] = ()  # what comes next, and after that
    workflow: str = ""  # that said so; empty: the app itself
    trust: Trust = field(default_factory=lambda: Trust(BELIEVED))
    answers: dict[tuple[float, int], tuple[float, dict[str, float]]] = field(default_factory=dict)
    ahead: list[Mapping[str, float]] = field(default_factory=list)  # by step, the weight of each model
    first: list[Mapping[str, float]] = field(
        default_factory=list
    )  # as `ahead`, of what no step before reached

    @property
    def last_model(self) -> str:
        return self.latest[-1]

    def used(self, at: float, model: str) -> float:
        """Note a request. Returns the seconds since the one before."""
        gap = max(at - self.last_at, 0.0)
        self.gaps.add(gap)
        self._pause(self.last_model, gap)
        self.transitions.add(self.last_model, model)
        self.latest = (*self.latest[1 - MOST_STEPS :], model)
        self.last_at = max(at, self.last_at)
        self.say(())
        return gap

    def say(self, said: Sequence[Hint], workflow: str = "") -> None:
        """Take in what is said of the next requests, in place of what was said before."""
        self.said, self.workflow = tuple(said), workflow
        self.answers.clear()
        self.ahead.clear()
        self.first.clear()

    def _pause(self, after: str, gap_s: float) -> None:
        """Note how long this key rested after a model."""
        if after not in self.gaps_after and len(self.gaps_after) >= MOST_PAUSES:
            del self.gaps_after[next(iter(self.gaps_after))]
        self.gaps_after.setdefault(after, Gaps()).add(gap_s)

    def missed(self, now: float, horizon_s: float, steps: int, shared: Shared) -> dict[str, float]:
        """By model, the chance that this key does not come to it within the horizon. Kept for a while."""
        known = self.answers.get((horizon_s, steps))
        if known is not None and now < known[0]:
            return known[1]
        elapsed, stays_s = rounded(now - self.last_at)
        answer = self._missed(elapsed, horizon_s, steps, shared)
        self.answers[horizon_s, steps] = (self.last_at + stays_s, answer)
        return answer

    def _missed(self, elapsed: float, horizon_s: float, steps: int, shared: Shared) -> dict[str, float]:
        """The chance of each model not to be reached within the horizon (3)."""
        habits = ((self.gaps, HABIT_PRIOR), (shared.gaps, KEY_PRIOR))
        after = self.gaps_after.get(self.last_model)
        never = min(shared.gaps.never, MOST_NEVER)
        arrives = chance(((after, 0.0), *habits) if after else habits, elapsed, horizon_s, never)
        came: dict[str, float] = {}
        for depth, step in enumerate(self._first_reached(steps, shared), start=1):
            if depth > 1:
                arrives *= chance(habits, 0.0, horizon_s / depth, never)
            for model, weight in step.items():
                came[model] = came.get(model, 0.0) + weight * arrives
        if steps > 1 and arrives > FAINT:
            self._go_on(came, arrives, horizon_s, steps, chance(habits, 0.0, horizon_s, never), shared)
        for hint in self.said[:steps]:
            if hint.within_s is not None and elapsed < hint.within_s:
                comes = hint.probability * min(horizon_s / (hint.within_s - elapsed), 1.0)
                came[hint.model] = max(came.get(hint.model, 0.0), comes)
        return {model: max(1.0 - p, 0.0) for model, p in came.items()}

    def _go_on(
        self,
        came: dict[str, float],
        arrives: float,
        horizon_s: float,
        steps: int,
        goes_on: float,
        shared: Shared,
    ) -> None:
        """Add what the requests beyond the last step may reach."""
        gap_s = self.gaps.mean(horizon_s) or shared.gaps.mean(horizon_s)
        requests = min(horizon_s / gap_s, MOST_REQUESTS) - steps if gap_s else 0.0
        uses = self.transitions.sums
        total = sum(uses.values())
        if requests <= 0 or not total:
            return
        if goes_on < 1.0:
            requests = (1.0 - goes_on**requests) / (1.0 - goes_on)  # each ends the session with what is left
        moves = requests * (1.0 - shared.mixed(self.transitions, self.last_model).get(self.last_model, 0.0))
        for model, count in uses.items():
            before = came.get(model, 0.0)
            came[model] = before + arrives * (1.0 - before) * (1.0 - (1.0 - count / total) ** moves)

    def _first_reached(self, steps: int, shared: Shared) -> list[Mapping[str, float]]:
        """The weight of each model as the first that a step reaches: less what came back from before."""
        weights = self.look_ahead(steps, shared)
        if not self.first:
            self.first.append(weights[0])
        while len(self.first) < steps:
            reached: dict[str, float] = {}
            for model, weight in weights[len(self.first)].items():
                back = [step.get(model, 0.0) for step in reversed(self.first)]
                if any(back):
                    again = shared.mixed(self.transitions, model).get(model, 0.0)
                    weight -= sum(w * again**k for k, w in enumerate(back, start=1))
                if weight > 0.0:
                    reached[model] = weight
            self.first.append(reached)
        return self.first[:steps]

    def look_ahead(self, steps: int, shared: Shared) -> list[Mapping[str, float]]:
        """The weight of each model at the key's next requests, one dictionary for each step."""
        while len(self.ahead) < steps:
            step = len(self.ahead)
            expected = self._after_step(self.ahead[-1], shared) if step else self._next(shared)
            self.ahead.append(_with(self.said[step], expected) if step < len(self.said) else expected)
        return self.ahead[:steps]

    def _next(self, shared: Shared) -> Mapping[str, float]:
        return shared.mixed(self.transitions, self.last_model)

    def _after_step(self, step: Mapping[str, float], shared: Shared) -> Mapping[str, float]:
        after: dict[str, float] = {}
        for model, weight in step.items():
            if weight < FAINT:
                continue
            for following, share in shared.mixed(self.transitions, model).items():
                after[following] = after.get(following, 0.0) + weight * share
        return after


def _with(hint: Hint, expected: Mapping[str, float]) -> dict[str, float]:
    """What is said, with its probability; what was expected shares the rest."""
    rest = 1.0 - hint.probability
    mixture = {model: share * rest for model, share in expected.items() if share * rest >= FAINT}
    mixture[hint.model] = mixture.get(hint.model, 0.0) + hint.probability
    return mixture

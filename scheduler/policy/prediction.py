"""Prediction: the chance of each model to be asked for within a horizon, learned from past arrivals.

A model is asked for by one of two processes:
1. A key that was active lately goes on. When: its own histogram of gaps, shared habits as a prior. For what:
   its own transitions from the model it used last, shared transitions as a prior; up to three steps ahead
   when the question is what to keep. An app that names its next model (a hint) is believed.
2. A session starts: a request of a key that is new or was silent for 40 minutes. Per model the histogram
   of the gaps between such starts, and how many came in this hour of the week before.
chance = 1 - (1 - start) x product over active keys of (1 - transition x gap).

Memory is bounded: keys, models, transitions per key; the least recently used goes. Deterministic: the same
observations in the same order give the same chances.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import log2

from scheduler.policy.gaps import Gaps, chance
from scheduler.policy.transitions import Transitions

SESSION_S = 2400.0  # silence after which a key's next request starts a session
MOST_KEYS = 10_000
MOST_MODELS = 1000
MOST_ACTIVE = 256  # active keys that are looked at, the latest first
KEY_PRIOR = 3.0  # gaps that the shared habit counts for
START_PRIOR = 1.0
STEPS = 3
HINT = 0.98  # an app that names its next model is believed so far
NOTHING: dict[str, float] = {}


@dataclass(slots=True)
class Key:
    """What is known of one API key or app."""

    last_at: float
    last_model: str
    gaps: Gaps = field(default_factory=Gaps)
    transitions: Transitions = field(default_factory=Transitions)
    hint: str | None = None  # the model that it said comes next
    answers: dict[tuple[float, int], tuple[float, dict[str, float]]] = field(default_factory=dict)

    def missed(self, now: float, horizon_s: float, steps: int, shared: Predictor) -> dict[str, float]:
        """By model, the chance that this key does not come to it within the horizon. Kept for a while."""
        until, answer = self.answers.get((horizon_s, steps), (0.0, NOTHING))
        if now >= until:
            elapsed, stays_s = rounded(now - self.last_at)
            answer = self._missed(elapsed, horizon_s, steps, shared)
            self.answers[horizon_s, steps] = (self.last_at + stays_s, answer)
        return answer

    def _missed(self, elapsed: float, horizon_s: float, steps: int, shared: Predictor) -> dict[str, float]:
        """Step by step: where the key goes next, and whether it gets so far within the horizon."""
        arrives = chance(self.gaps, shared.gaps, KEY_PRIOR, elapsed, horizon_s)
        step = {self.hint: HINT} if self.hint else self.transitions.mixed(self.last_model, shared.shared)
        missed: dict[str, float] = {}
        for depth in range(1, steps + 1):
            for model, weight in step.items():
                missed[model] = missed.get(model, 1.0) * (1.0 - min(weight, 1.0) * arrives)
            if depth < steps:
                arrives *= chance(self.gaps, shared.gaps, KEY_PRIOR, 0.0, horizon_s / (depth + 1))
                step = self._after(step, shared)
        return missed

    def _after(self, step: dict[str, float], shared: Predictor) -> dict[str, float]:
        after: dict[str, float] = {}
        for model, weight in step.items():
            for following, share in self.transitions.mixed(model, shared.shared).items():
                after[following] = after.get(following, 0.0) + weight * share
        return after


@dataclass(slots=True)
class Starts:
    """Session starts of one model."""

    last_at: float
    gaps: Gaps = field(default_factory=Gaps)
    answers: dict[float, tuple[float, float]] = field(default_factory=dict)

    def chance(self, now: float, horizon_s: float, shared: Gaps) -> float:
        """Probability that a session starts with this model within the horizon. Kept for a while."""
        until, answer = self.answers.get(horizon_s, (0.0, 0.0))
        if now >= until:
            elapsed, stays_s = rounded(now - self.last_at)
            answer = chance(self.gaps, shared, START_PRIOR, elapsed, horizon_s)
            self.answers[horizon_s] = (self.last_at + stays_s, answer)
        return answer


def rounded(elapsed_s: float) -> tuple[float, float]:
    """The middle of the quarter octave that an elapsed time lies in, and its end: hazards move no faster."""
    if elapsed_s < 1:
        return 0.5, 1.0
    start = 2.0 ** (int(4 * log2(elapsed_s)) / 4)
    return start * 1.09, start * 1.19


class Predictor:
    """Learns from arrivals; answers chances. `observe` in order of time."""

    def __init__(self) -> None:
        self.keys: OrderedDict[str, Key] = OrderedDict()  # the latest active last
        self.starts: OrderedDict[str, Starts] = OrderedDict()
        self.shared = Transitions(most_from=MOST_MODELS, most_next=64)
        self.gaps = Gaps()  # of all keys
        self.start_gaps = Gaps()  # of all models
        self._answers: dict[tuple[float, float, int], dict[str, float]] = {}
        self._answered_at = 0.0

    def observe(self, at: float, key: str, model: str, hint: str | None = None) -> None:
        """A request of `key` for `model` arrived; `hint` is the model it says to ask for next."""
        known = self.keys.get(key)
        if known is None:
            known = self.keys[key] = Key(last_at=at, last_model=model)
            self._start(at, model)
            if len(self.keys) > MOST_KEYS:
                self.keys.popitem(last=False)
        else:
            gap = max(at - known.last_at, 0.0)
            known.gaps.add(gap)
            self.gaps.add(gap)
            known.transitions.add(known.last_model, model)
            self.shared.add(known.last_model, model)
            if gap > SESSION_S:
                self._start(at, model)
            known.last_at, known.last_model = at, model
            self.keys.move_to_end(key)
        known.hint = hint
        known.answers.clear()
        self._answers.clear()

    def _start(self, at: float, model: str) -> None:
        starts = self.starts.get(model)
        if starts is None:
            self.starts[model] = Starts(at)
            if len(self.starts) > MOST_MODELS:
                self.starts.popitem(last=False)
            return
        starts.gaps.add(max(at - starts.last_at, 0.0))
        self.start_gaps.add(max(at - starts.last_at, 0.0))
        starts.last_at = at
        starts.answers.clear()
        self.starts.move_to_end(model)

    # -- questions

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        """Probability of a request within the horizon, up to three steps of each key ahead: what to keep."""
        return self.chances(now, horizon_s, STEPS).get(model, 0.0)

    def chances(self, now: float, horizon_s: float, steps: int) -> dict[str, float]:
        """As `chance`, for every model that may come; with one step, what to prefetch."""
        asked = (now, horizon_s, steps)
        if asked not in self._answers:
            if self._answered_at != now:
                self._answers.clear()
                self._answered_at = now
            self._answers[asked] = self._combine(now, horizon_s, steps)
        return self._answers[asked]

    def _combine(self, now: float, horizon_s: float, steps: int) -> dict[str, float]:
        none = {
            model: 1.0 - starts.chance(now, horizon_s, self.start_gaps)
            for model, starts in self.starts.items()
        }
        for key in self.active(now):
            for model, missed in key.missed(now, horizon_s, steps, self).items():
                none[model] = none.get(model, 1.0) * missed
        return {model: 1.0 - missed for model, missed in none.items()}

    def active(self, now: float) -> Iterator[Key]:
        """Keys whose session still runs, the latest first."""
        for key in islice(reversed(self.keys.values()), MOST_ACTIVE):
            if now - key.last_at > SESSION_S:
                return
            yield key

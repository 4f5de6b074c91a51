"""Prediction: the chance of each model to be asked for within a horizon, learned from past arrivals.

A model is asked for by one of two processes:
1. A key that was active lately goes on. When: its gaps after the model it used last, with its own and
   everybody's gaps as priors. For what: its own transitions from that model, everybody's as a prior; up to
   three steps ahead when the question is what to keep. An app that names its next model is believed.
2. A session starts: a request of a key that is new or was silent for 40 minutes. Per model the histogram
   of the gaps between such starts, and after a week also how many came in this hour of the week.
chance = 1 - (1 - start) x product over active keys of (1 - transition x gap).

Memory is bounded: keys, models, transitions per key; the least recently used goes. Deterministic: the same
observations in the same order give the same chances.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import exp, log2

from scheduler.policy.gaps import Gaps, chance
from scheduler.policy.transitions import NOTHING, Transitions

SESSION_S = 2400.0  # silence after which a key's next request starts a session
MOST_KEYS = 10_000
MOST_MODELS = 1000
MOST_ACTIVE = 256  # active keys that are looked at, the latest first
HABIT_PRIOR = 3.0  # gaps that a key's own habit counts for, beside those after the same model
MOST_PAUSES = 8  # models after which a key's gaps are kept
KEY_PRIOR = 1.0  # gaps that the shared habit counts for
START_PRIOR = 1.0
HOUR_PRIOR = 2.0  # weeks after which the hour of the week counts as much as the gaps
FADE = 0.85  # what a week counts against the one after it
STEPS = 3
FAINT = 0.05  # what comes after a model that is less likely than this is not followed up
STALE_S = 1.0  # what to keep is not worked out again within this
HINT = 0.98  # an app that names its next model is believed so far


@dataclass(slots=True)
class Key:
    """What is known of one API key or app."""

    last_at: float
    last_model: str
    gaps: Gaps = field(default_factory=Gaps)
    gaps_after: dict[str, Gaps] = field(default_factory=dict)  # by the model that it used before the gap
    transitions: Transitions = field(default_factory=Transitions)
    hint: str | None = None  # the model that it said comes next
    answers: dict[tuple[float, int], tuple[float, dict[str, float]]] = field(default_factory=dict)

    ahead: list[Mapping[str, float]] = field(default_factory=list)  # by step, the weight of each model

    def pause(self, after: str, gap_s: float) -> None:
        """Note how long this key rested after a model."""
        if after not in self.gaps_after and len(self.gaps_after) >= MOST_PAUSES:
            del self.gaps_after[next(iter(self.gaps_after))]
        self.gaps_after.setdefault(after, Gaps()).add(gap_s)

    def missed(self, now: float, horizon_s: float, steps: int, shared: Predictor) -> dict[str, float]:
        """By model, the chance that this key does not come to it within the horizon. Kept for a while."""
        known = self.answers.get((horizon_s, steps))
        if known is not None and now < known[0]:
            return known[1]
        elapsed, stays_s = rounded(now - self.last_at)
        answer = self._missed(elapsed, horizon_s, steps, shared)
        self.answers[horizon_s, steps] = (self.last_at + stays_s, answer)
        return answer

    def _missed(self, elapsed: float, horizon_s: float, steps: int, shared: Predictor) -> dict[str, float]:
        """Step by step: where the key goes next, and whether it gets so far within the horizon."""
        habits = ((self.gaps, HABIT_PRIOR), (shared.gaps, KEY_PRIOR))
        after = self.gaps_after.get(self.last_model)
        arrives = chance(((after, 0.0), *habits) if after else habits, elapsed, horizon_s)
        missed: dict[str, float] = {}
        for depth, step in enumerate(self.look_ahead(steps, shared), start=1):
            if depth > 1:
                arrives *= chance(habits, 0.0, horizon_s / depth)
            for model, weight in step.items():
                missed[model] = missed.get(model, 1.0) * (1.0 - weight * arrives)
        return missed

    def look_ahead(self, steps: int, shared: Predictor) -> list[Mapping[str, float]]:
        """The weight of each model at the key's next requests, one dictionary for each step."""
        if not self.ahead:
            known = self.transitions.mixed(self.last_model, shared.shared)
            self.ahead.append({self.hint: HINT} if self.hint else known)
        while len(self.ahead) < steps:
            after: dict[str, float] = {}
            for model, weight in self.ahead[-1].items():
                if weight < FAINT:
                    continue
                for following, share in self.transitions.mixed(model, shared.shared).items():
                    after[following] = after.get(following, 0.0) + weight * share
            self.ahead.append(after)
        return self.ahead[:steps]


@dataclass(slots=True)
class Starts:
    """Session starts of one model."""

    last_at: float
    gaps: Gaps = field(default_factory=Gaps)
    hours: dict[int, tuple[float, int]] = field(default_factory=dict)  # of the week: starts, fading; week
    answers: dict[float, tuple[float, float]] = field(default_factory=dict)

    def chance(self, now: float, horizon_s: float, shared: Gaps, weeks: float) -> float:
        """Probability that a session starts with this model within the horizon. Kept for a while."""
        until, answer = self.answers.get(horizon_s, (0.0, 0.0))
        if now >= until:
            elapsed, stays_s = rounded(now - self.last_at)
            answer = chance(((self.gaps, 0.0), (shared, START_PRIOR)), elapsed, horizon_s)
            if weeks >= 1:
                answer += (self.in_this_hour(now, horizon_s, weeks) - answer) * weeks / (weeks + HOUR_PRIOR)
            self.answers[horizon_s] = (min(self.last_at + stays_s, now + 60.0), answer)
        return answer

    def in_this_hour(self, now: float, horizon_s: float, weeks: float) -> float:
        """As `chance`, from how many sessions started in this hour of the week before."""
        at = now + horizon_s / 2
        count, week = self.hours.get(hour_of_week(at), (0.0, 0))
        count *= FADE ** (week_of(at) - week)
        seen = (1.0 - FADE**weeks) / (1.0 - FADE)  # weeks, faded like the count
        return 1.0 - exp(-count / seen * horizon_s / 3600.0)

    def note_hour(self, at: float) -> None:
        hour, week = hour_of_week(at), week_of(at)
        count, last = self.hours.get(hour, (0.0, week))
        self.hours[hour] = (count * FADE ** (week - last) + 1.0, week)


def hour_of_week(at: float) -> int:
    return int(at // 3600) % 168


def week_of(at: float) -> int:
    return int(at // (168 * 3600))


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
        self.since: float | None = None  # the first arrival
        self.seen = 0  # arrivals
        self._answers: dict[tuple[float, int], tuple[float, int, Mapping[str, float]]] = {}

    def observe(self, at: float, key: str, model: str, hint: str | None = None) -> None:
        """A request of `key` for `model` arrived; `hint` is the model it says to ask for next."""
        if self.since is None:
            self.since = at
        known = self.keys.get(key)
        if known is None:
            known = self.keys[key] = Key(last_at=at, last_model=model)
            self._start(at, model)
            if len(self.keys) > MOST_KEYS:
                self.keys.popitem(last=False)
        else:
            gap = max(at - known.last_at, 0.0)
            known.gaps.add(gap)
            known.pause(known.last_model, gap)
            self.gaps.add(gap)
            known.transitions.add(known.last_model, model)
            self.shared.add(known.last_model, model)
            if gap > SESSION_S:
                self._start(at, model)
            known.last_at, known.last_model = at, model
            self.keys.move_to_end(key)
        known.hint = hint
        known.answers.clear()
        known.ahead.clear()
        self.seen += 1

    def _start(self, at: float, model: str) -> None:
        starts = self.starts.get(model)
        if starts is None:
            starts = self.starts[model] = Starts(at)
            starts.note_hour(at)
            if len(self.starts) > MOST_MODELS:
                self.starts.popitem(last=False)
            return
        starts.gaps.add(max(at - starts.last_at, 0.0))
        self.start_gaps.add(max(at - starts.last_at, 0.0))
        starts.last_at = at
        starts.note_hour(at)
        starts.answers.clear()
        self.starts.move_to_end(model)

    # -- questions

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        """Probability of a request within the horizon, up to three steps of each key ahead: what to keep."""
        return self.chances(now, horizon_s, STEPS).get(model, 0.0)

    def chances(self, now: float, horizon_s: float, steps: int) -> Mapping[str, float]:
        """As `chance`, for every model that may come; with one step, what to prefetch."""
        at, seen, answer = self._answers.get((horizon_s, steps), (0.0, -1, NOTHING))
        fresh = at == now and seen == self.seen
        if not fresh and not (steps > 1 and seen >= 0 and 0 <= now - at <= STALE_S):
            answer = self._combine(now, horizon_s, steps)
            self._answers[horizon_s, steps] = (now, self.seen, answer)
        return answer

    def following(self, key: str) -> Mapping[str, float]:
        """What this key asks for next, by share."""
        known = self.keys.get(key)
        return {} if known is None else known.look_ahead(1, self)[0]

    def _combine(self, now: float, horizon_s: float, steps: int) -> dict[str, float]:
        weeks = (now - (now if self.since is None else self.since)) / (7 * 86_400.0)
        none = {
            model: 1.0 - starts.chance(now, horizon_s, self.start_gaps, weeks)
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

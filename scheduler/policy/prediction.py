"""Prediction: the chance of each model to be asked for within a horizon, learned from past arrivals.

A model is asked for by one of two processes:
1. A key that was active lately goes on (`habits`): its gaps say when, its transitions or hints to what; up to
   three steps ahead when the question is what to keep.
2. A session starts (`sessions`): a request of a key that is new or was silent for 40 minutes. Per model the
   histogram of the gaps between such starts, and after a week also how many came in this hour of the week.
chance = 1 - (1 - start) x product over active keys of (1 - transition x gap).

How it is fed:
3. `observe` every arrival, in about the order of time, whether it met a resident or not; with it the hints of
   its app. A key is an API key or an app; of one that sends a session header, `session` tells its
   conversations apart, and the key's own transitions become what a new session is expected to do.
4. `hint` what is said apart from a request; `register` the workflows of operators.
5. After a restart, `rebuilt` from records of the past in order of time: the same arrivals give the same
   chances. There is no other state.

Memory is bounded: keys, models, transitions and gaps per key; the least recently used goes. Deterministic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from scheduler.policy.gaps import NEVER_S, Gaps
from scheduler.policy.habits import Key, Shared
from scheduler.policy.hints import MOST_SAID, Hint, Workflow, Workflows
from scheduler.policy.sessions import WEEK_S, Starts
from scheduler.policy.transitions import NOTHING, Transitions

SESSION_S = 2400.0  # silence after which a key's next request starts a session
MOST_KEYS = 10_000  # sessions among them
MOST_MODELS = 1000
MOST_ACTIVE = 192  # active keys that are looked at, the latest first
STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request as the traffic record keeps it."""

    at: float  # Unix seconds
    key: str  # of the API key or app; its hash will do
    model: str
    session: str = ""
    said: tuple[Hint, ...] = ()


def rebuilt(past: Iterable[Arrival], workflows: Iterable[Workflow] = ()) -> Predictor:
    """A predictor that has seen these arrivals, given in order of time (5)."""
    predictor = Predictor()
    predictor.register(workflows)
    for arrival in past:
        predictor.observe(arrival.at, arrival.key, arrival.model, arrival.said, arrival.session)
    return predictor


class Predictor:
    """Learns from arrivals; answers chances."""

    def __init__(self) -> None:
        self.keys: OrderedDict[tuple[str, str], Key] = OrderedDict()  # by key, session; latest active last
        self.starts: OrderedDict[str, Starts] = OrderedDict()
        self.shared = Shared(Transitions(most_from=MOST_MODELS, most_next=64))
        self.of_key: OrderedDict[str, Shared] = OrderedDict()  # of keys that send sessions: all of theirs
        self.start_gaps = Gaps()  # of all models
        self.workflows = Workflows()
        self.since: float | None = None  # the first arrival
        self.seen = 0  # arrivals and hints
        self._answers: dict[tuple[float, int], tuple[float, int, Mapping[str, float]]] = {}

    def register(self, workflows: Iterable[Workflow]) -> None:
        """Put these workflows in place of the ones before (4). They count from each key's next request."""
        self.workflows.register(workflows)

    def observe(self, at: float, key: str, model: str, said: Sequence[Hint] = (), session: str = "") -> None:
        """A request of `key` for `model` arrived; `said` is what its app says comes next, in order."""
        if self.since is None:
            self.since = at
        known = self.keys.get((key, session))
        if known is None:
            known = self._new(at, key, model, session)
        else:
            self._score(known, model)
            before = known.last_model
            gap = known.used(at, model)
            for shared in self._priors(key, session):
                shared.gaps.add(gap)
                shared.transitions.add(before, model)
            if gap > SESSION_S:
                self._start(at, model)
            self.keys.move_to_end((key, session))
        self._say(known, key, said)
        self.seen += 1

    def hint(self, at: float, key: str, said: Sequence[Hint], session: str = "") -> None:
        """What `key` says comes next, apart from a request; a key that was never seen says nothing yet."""
        known = self.keys.get((key, session))
        if known is not None and said and at >= known.last_at:
            self._say(known, key, said)
            self.seen += 1

    # -- learning

    def _new(self, at: float, key: str, model: str, session: str) -> Key:
        known = self.keys[key, session] = Key(last_at=at, latest=(model,))
        for shared in self._priors(key, session):
            shared.gaps.add(NEVER_S)  # where keys come and go, one went for each that came
        self._start(at, model)
        if len(self.keys) > MOST_KEYS:
            self.keys.popitem(last=False)
        return known

    def _priors(self, key: str, session: str) -> Iterator[Shared]:
        """Everybody, and the key whose session it is."""
        yield self.shared
        if session:
            if key not in self.of_key:
                self.of_key[key] = Shared(Transitions(), beyond=self.shared)
                if len(self.of_key) > MOST_KEYS:
                    self.of_key.popitem(last=False)
            self.of_key.move_to_end(key)
            yield self.of_key[key]

    def _score(self, known: Key, model: str) -> None:
        """Note whether what was said came true."""
        if known.said:
            trust = self.workflows.trust.get(known.workflow) if known.workflow else known.trust
            if trust is not None:
                trust.saw(right=known.said[0].model == model)

    def _say(self, known: Key, key: str, said: Sequence[Hint]) -> None:
        """The app's own word, as far as it is trusted; else that of a workflow it follows."""
        if said:
            trust = known.trust.chance / known.trust.prior
            known.say(
                [
                    Hint(model=h.model, probability=h.probability * trust, within_s=h.within_s)
                    for h in said[:MOST_SAID]
                ]
            )
        elif self.workflows.known:
            name, follows = self.workflows.said(key, known.latest)
            known.say(follows, name)

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
        starts.last_at = max(at, starts.last_at)
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
        if at != now or seen != self.seen:
            answer = self._combine(now, horizon_s, steps)
            self._answers[horizon_s, steps] = (now, self.seen, answer)
        return answer

    def following(self, key: str, session: str = "") -> Mapping[str, float]:
        """What this key asks for next, by share."""
        known = self.keys.get((key, session))
        return {} if known is None else known.look_ahead(1, self._prior(key, session))[0]

    def _prior(self, key: str, session: str) -> Shared:
        """What a key is expected to do before its own habits are known."""
        return self.of_key.get(key, self.shared) if session else self.shared

    def _combine(self, now: float, horizon_s: float, steps: int) -> dict[str, float]:
        weeks = (now - (now if self.since is None else self.since)) / WEEK_S
        none = {
            model: 1.0 - starts.chance(now, horizon_s, self.start_gaps, weeks)
            for model, starts in self.starts.items()
        }
        for (key, session), known in self.active(now):
            prior = self._prior(key, session)
            for model, missed in known.missed(now, horizon_s, steps, prior).items():
                none[model] = none.get(model, 1.0) * missed
        return {model: 1.0 - missed for model, missed in none.items()}

    def active(self, now: float) -> Iterator[tuple[tuple[str, str], Key]]:
        """Keys whose session still runs, the latest first."""
        for name, known in islice(reversed(self.keys.items()), MOST_ACTIVE):
            if now - known.last_at > SESSION_S:
                return
            yield name, known

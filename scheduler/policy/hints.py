"""Hints: what an app or an operator says will be asked for next, as chances.

1. An app names its next model (or several, in order) with a request: it is believed at first, and then as far
   as it was right.
2. An operator registers a workflow, a sequence of models. A key follows it as far as its latest models are
   the workflow's first ones: what comes after is said of it, as likely as such keys went on.
3. The app's own word goes over a workflow; of workflows, the one followed furthest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BELIEVED = 0.98  # the chance of what an app says, before it was ever right or wrong
FOLLOWED = 0.9  # the chance that a workflow goes on
TRUST = 5.0  # requests that these count for, beside those seen
MOST_STEPS = 16  # of a workflow; so many latest models of a key are kept
MOST_SAID = 4  # models that an app may name with one request


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """One model that is said to come: the next of its key, or a later one, by its place in the sequence."""

    model: str
    probability: float = BELIEVED
    within_s: float | None = None  # seconds from the key's latest request; None: when its gaps say


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A sequence of models that an operator registered. Raises ValueError unless 2 to MOST_STEPS long."""

    name: str
    models: tuple[str, ...]
    keys: frozenset[str] | None = None  # None: any key may follow it
    repeats: bool = False  # after the last model comes the first

    def __post_init__(self) -> None:
        if not 2 <= len(self.models) <= MOST_STEPS:
            raise ValueError(
                f"workflow {self.name} has {len(self.models)} models; it needs 2 to {MOST_STEPS}."
            )

    def place(self, latest: Sequence[str]) -> int:
        """How many of the workflow's first models are a key's latest ones; 0: it does not follow."""
        for steps in range(min(len(self.models), len(latest)), 0, -1):
            if tuple(latest[-steps:]) == self.models[:steps]:
                return steps
        return 0

    def after(self, place: int) -> tuple[str, ...]:
        """The models that come then."""
        rest = self.models[place:]
        return rest + self.models[: MOST_SAID - len(rest)] if self.repeats else rest


@dataclass(slots=True)
class Trust:
    """How often what was said came true."""

    prior: float
    right: float = 0.0
    of: float = 0.0

    def saw(self, *, right: bool) -> None:
        self.right = self.right * 0.98 + right
        self.of = self.of * 0.98 + 1.0

    @property
    def chance(self) -> float:
        return (self.right + self.prior * TRUST) / (self.of + TRUST)


@dataclass(slots=True)
class Workflows:
    """The registered workflows, and how far each is followed."""

    known: tuple[Workflow, ...] = ()
    trust: dict[str, Trust] = field(default_factory=dict)  # by name

    def register(self, workflows: Iterable[Workflow]) -> None:
        """Put these in place of the ones before; what was learned of those that stay is kept."""
        self.known = tuple(workflows)
        self.trust = {w.name: self.trust.get(w.name, Trust(FOLLOWED)) for w in self.known}

    def said(self, key: str, latest: Sequence[str]) -> tuple[str, tuple[Hint, ...]]:
        """The workflow that this key follows furthest, and what it says comes next (2, 3)."""
        best: tuple[int, str, tuple[str, ...]] = (0, "", ())
        for workflow in self.known:
            if workflow.keys is None or key in workflow.keys:
                place = workflow.place(latest)
                if place > best[0] and (models := workflow.after(place)):
                    best = (place, workflow.name, models)
        _, name, models = best
        if not models:
            return "", ()
        chance = self.trust[name].chance
        return name, tuple(Hint(model=model, probability=chance) for model in models[:MOST_SAID])

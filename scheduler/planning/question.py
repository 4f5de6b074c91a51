"""What a plan is asked, checked; and the search that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduler.planning import search
from scheduler.planning.estimate import FIGURES, Workload
from scheduler.planning.fleet import Kind, least_count
from scheduler.planning.pool import replays
from scheduler.planning.search import MOST_NODES, Search, Target
from scheduler.policy.state import Pin
from scheduler.replay import policies
from scheduler.replay.fleet import Timing
from scheduler.replay.growth import grown
from scheduler.replay.trace import Trace

LEAST_REQUESTS = 1000  # under which an answer says little of the next day
LEAST_S = 86_400.0
MOST_SLOTS = 64
USUAL_TARGET = Target(figure="wait_p95_s", seconds=2.0)
USUAL_POLICY = "bridge"


class BadQuestion(ValueError):
    """A plan cannot be made; the message says why, and what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Raises BadQuestion where its parts make no sense."""

    kinds: tuple[Kind, ...]
    targets: tuple[Target, ...] = (USUAL_TARGET,)
    policies: tuple[str, ...] = (USUAL_POLICY,)
    most_nodes: int = 16
    slots: int = Timing().slots
    pins: tuple[tuple[str, int], ...] = ()  # model, replicas
    growth: float = 1.0  # times the users of the trace
    everything: bool = False

    def __post_init__(self) -> None:
        if not self.kinds:
            raise BadQuestion(
                "There is no type of GPU to compare: enable some in the admin, under GPU types."
            )
        if not 1 <= self.most_nodes <= MOST_NODES:
            raise BadQuestion(f"The most nodes are from 1 to {MOST_NODES}, not {self.most_nodes}.")
        if not 1 <= self.slots <= MOST_SLOTS:
            raise BadQuestion(f"Slots are from 1 to {MOST_SLOTS}, not {self.slots}.")
        for target in self.targets:
            if target.figure not in FIGURES or not target.seconds >= 0:
                raise BadQuestion(f"{target.figure} of {target.seconds} s is no target.")
        for name in self.policies:
            try:
                policies.known(name)
            except policies.UnknownPolicy as error:
                raise BadQuestion(str(error)) from None

    def as_json(self) -> dict[str, Any]:
        return {
            "kinds": [kind.as_json() for kind in self.kinds],
            "targets": {target.figure: target.seconds for target in self.targets},
            "policies": list(self.policies),
            "most_nodes": self.most_nodes,
            "slots": self.slots,
            "pins": [list(pin) for pin in self.pins],
            "growth": self.growth,
        }

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Question:
        return cls(
            kinds=tuple(Kind.of_json(kind) for kind in facts["kinds"]),
            targets=tuple(Target(figure=f, seconds=float(s)) for f, s in facts["targets"].items()),
            policies=tuple(facts["policies"]),
            most_nodes=int(facts["most_nodes"]),
            slots=int(facts["slots"]),
            pins=tuple((str(model), int(count)) for model, count in facts["pins"]),
            growth=float(facts["growth"]),
        )

    def pinned(self, trace: Trace) -> tuple[Pin, ...]:
        """Raises BadQuestion for a model that the trace never asks for."""
        for model, _ in self.pins:
            if model not in trace.model_names:
                raise BadQuestion(f"Nothing in the trace asks for {model!r}, so pinning it would only cost.")
        return tuple(Pin(model=model, min_replicas=count, name="the plan") for model, count in self.pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The search after its last replay, and what to say with it."""

    search: Search
    doubts: Sequence[str] = field(default_factory=tuple)  # sentences


def answer(
    question: Question,
    trace: Trace,
    *,
    jobs: int = 1,
    alive: Callable[[], None] = lambda: None,
    told: search.Told = lambda _: None,
) -> Answer:
    """Search. `alive` is called a few times a second and may end it by raising; `told` after each round.

    Raises BadQuestion when the largest model fits on no type, BadTrace when it cannot grow so far, and
    pool.Failed."""
    if question.growth != 1:
        trace = grown(trace, question.growth)
    workload = Workload(trace=trace, slots=question.slots, pins=question.pinned(trace))
    kinds = [(kind, least_count(kind, trace, question.slots)) for kind in question.kinds]
    found = search.prepared(
        kinds, question.policies, question.targets, question.most_nodes, everything=question.everything
    )
    if len(found.out) == len(kinds):
        raise BadQuestion(f"The largest model has {max(trace.sizes_gb):g} GB and fits on no type of GPU.")
    with replays(workload, jobs, alive) as run:
        found.run(run, jobs, told)
    return Answer(search=found, doubts=tuple(_doubts(question, trace, found)))


def _doubts(question: Question, trace: Trace, found: Search) -> list[str]:
    said = []
    if len(trace) < LEAST_REQUESTS:
        said.append(f"{len(trace)} requests are few: the same plan over another day may differ much.")
    if trace.times[-1] - trace.times[0] < 0.95 * LEAST_S:
        said.append("The trace is shorter than a day, so a day's peak may be missing.")
    if found.out:
        largest = max(trace.sizes_gb)
        said.append(f"Left out, because the largest model has {largest:g} GB: {', '.join(found.out)}.")
    if found.best is not None and _varies(trace, found.best.wait_p95_s, found.best.worst_day_p95_s):
        said.append(
            f"On the worst day of the trace 95 % waited at most {found.best.worst_day_p95_s:.1f} s "
            f"on {found.best.candidate.fleet}."
        )
    if found.best is None:
        targets = " and ".join(map(str, question.targets))
        said.append(f"No fleet of at most {question.most_nodes} nodes keeps {targets}.")
    return said


def _varies(trace: Trace, all_days_s: float, worst_day_s: float) -> bool:
    """Whether a trace of several days has one that is clearly worse than they are together."""
    return trace.times[-1] - trace.times[0] > LEAST_S and worst_day_s > max(2 * all_days_s, all_days_s + 1)

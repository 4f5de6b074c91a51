"""The bridge in simulated time: the same policy modules as in live operation, on simulated nodes.

Discrete events: arrivals (from the trace), ends of answers, ends of loads, and times at which the policy
asked to be asked again. The policy is asked only where something that it may act on has changed: a request
joined a line, a resident ran idle while lines wait, an action ended. Co-running requests do not slow each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from scheduler.policy.config import GB, Config
from scheduler.policy.decide import round_of
from scheduler.policy.decisions import Decision, Drain, Evict, Load, Resume, Wait
from scheduler.policy.foresight import AGAIN_S, Foresight
from scheduler.policy.hints import Hint
from scheduler.policy.state import Action, Forecast, Line, Model, Node, Pin, Resident, State, Stats
from scheduler.policy.view import View
from scheduler.replay.fleet import Timing
from scheduler.replay.outcome import Record, Timeline
from scheduler.replay.trace import Trace
from scheduler.replay.waiting import Waiting

LOADED, ASK, TICK = -1, -2, -3  # in place of a request's index: what else an event may be
EWMA = 0.1  # weight of the newest answer in a model's mean service time


class Gateway:
    """One replay of a trace under the bridge's policy (or, by its config, under simpler ones)."""

    def __init__(
        self,
        trace: Trace,
        nodes: list[Node],
        timing: Timing,
        config: Config,
        forecast: Forecast | None = None,
        ahead: Foresight | None = None,
        hints: bool = False,
        timeline: Timeline | None = None,
        progress: Callable[[], None] = lambda: None,
        pins: Sequence[Pin] = (),
    ) -> None:
        self.trace, self.config = trace, config
        self.ahead = ahead
        self.tick_at = float("inf")
        self.loading: set[str] = set()
        self.absent = len(trace.model_names)  # models that are resident nowhere
        self.hints = next_models(trace) if hints else None
        self.nodes = {n.name: n for n in nodes}
        self.residents: dict[tuple[str, str], Resident] = {}
        self.here: dict[str, list[Resident]] = {name: [] for name in trace.model_names}
        self.lines: dict[str, Line] = {}
        self.queues = {name: Waiting() for name in trace.model_names}
        self.service: dict[str, float] = {}
        self.state = State(
            nodes=self.nodes,
            models={
                name: Model(name=name, digests=dict.fromkeys(self.nodes, name), weights_bytes=int(size * GB))
                for name, size in zip(trace.model_names, trace.sizes_gb, strict=True)
            },
            residents=self.residents,
            lines=self.lines,
            stats=Stats(service_s=self.service),
            forecast=forecast,
            pins=pins,
        )
        sizes = trace.sizes_gb
        services = [
            timing.service_s(sizes[m], p, o)
            for m, p, o in zip(trace.models, trace.prompt_tokens, trace.output_tokens, strict=True)
        ]
        self.record = Record(waits=[0.0] * len(trace), services=services, cold=bytearray(len(trace)))
        self.record.timeline = self.timeline = timeline
        self.progress = progress
        self.events: list[tuple[float, int, Resident | None, int]] = []  # time, tie break, resident, request
        self.sequence = 0
        self.ask_at = float("inf")  # the earliest time at which the policy is asked again anyway
        self.changed = False
        self.draining = 0  # residents that do not accept

    def run(self) -> Record:
        times, events = self.trace.times, self.events
        names = self.trace.model_names
        for i, m in enumerate(self.trace.models):
            if not i & 1023:
                self.progress()
            at = times[i]
            while events and events[0][0] <= at:
                self._happen()
            self._arrive(i, names[m], at)
            if self.changed or (self.ahead is not None and self.ahead.due):
                self._decide(at)
        while events:
            self._happen()
        self.record.wasted += sum(not r.used for r in self.residents.values())
        return self.record

    # -- events

    def _push(self, at: float, resident: Resident | None, i: int) -> None:
        self.sequence += 1
        heappush(self.events, (at, self.sequence, resident, i))

    def _happen(self) -> None:
        at, _, resident, i = heappop(self.events)
        if i >= 0 and resident is not None:
            self._end(resident, i, at)
        elif resident is not None:
            self._loaded(resident, at)
        elif i == TICK and self.ahead is not None:
            self.tick_at = self.ahead.passed(at)
            if self.tick_at < float("inf"):
                self._push(self.tick_at, None, TICK)
        elif at >= self.ask_at:
            self.ask_at = float("inf")
            self.changed = True
        if self.changed or (self.ahead is not None and self.ahead.due):
            self._decide(at)

    def _arrive(self, i: int, model: str, at: float) -> None:
        """A free slot: go. Else join the line, and have the policy asked if it may act on that."""
        if self.ahead is not None:
            said = self.hints[i] if self.hints else ()
            absent = self._is_absent if self.absent else None
            self.ahead.arrived(at, self.trace.key_names[self.trace.keys[i]], model, said, absent=absent)
            if self.ahead.on and self.tick_at > at + AGAIN_S and self.absent:
                self.tick_at = at + AGAIN_S
                self._push(self.tick_at, None, TICK)
        ready = False
        for resident in self.here[model]:
            if resident.accepting:
                ready = True
                if resident.in_flight < resident.profile.slots:
                    self._seat(i, resident, at)
                    break
        else:
            self._join(i, model, at, ready)
        if not ready:
            self.record.cold[i] = 1

    def _join(self, i: int, model: str, at: float, ready: bool) -> None:
        self.queues[model].join(i, self.trace.key_names[self.trace.keys[i]], at)
        line = self.lines.get(model)
        if line is None:
            self.lines[model] = Line(model=model, waiting=1, since=at)
            self.changed = True
        else:
            line.waiting += 1
            self.changed = self.changed or ready  # its wait may be worth a replica by now

    def _seat(self, i: int, resident: Resident, at: float) -> None:
        if self.timeline is not None:
            self.timeline.start(i, resident.node, resident.model)
        resident.in_flight += 1
        resident.used = True
        resident.last_used = at
        self._push(at + self.record.services[i], resident, i)

    def _end(self, resident: Resident, i: int, at: float) -> None:
        model = resident.model
        resident.in_flight -= 1
        resident.last_used = at
        took = self.record.services[i]
        before = self.service.get(model)
        self.service[model] = took if before is None else before + EWMA * (took - before)
        if resident.accepting and model in self.lines:
            self._serve(resident, at)
        elif resident.in_flight == 0:
            self.changed = bool(self.lines or self.state.pins)
            if self.ahead is not None:
                self.ahead.freed()

    def _serve(self, resident: Resident, at: float) -> None:
        """Give a resident's free slots to its line."""
        model = resident.model
        queue = self.queues[model]
        while queue and resident.in_flight < resident.profile.slots:
            i = queue.next(at)
            self.record.waits[i] = at - self.trace.times[i]
            self._seat(i, resident, at)
        if queue:
            line = self.lines[model]
            line.waiting, line.since = len(queue), self.trace.times[queue.oldest()]
        else:
            self.lines.pop(model, None)

    def _loaded(self, resident: Resident, at: float) -> None:
        node = self.nodes[resident.node]
        node.busy_with = None
        self.loading.discard(resident.model)
        if self.ahead is not None:
            self.ahead.freed()
        self.residents[resident.node, resident.model] = resident
        self.absent -= not self.here[resident.model]
        self.here[resident.model].append(resident)
        line = self.lines.get(resident.model)
        if line is not None:
            self.record.path_s += self._waited_through(resident, at)
            self._serve(resident, at)
        self.changed = True

    def _waited_through(self, resident: Resident, at: float) -> float:
        """Seconds of this load that those in its line waited through."""
        times, begun = self.trace.times, at - (resident.load_s or 0.0)
        return sum(at - max(times[i], begun) for i in self.queues[resident.model])

    # -- decisions

    def _decide(self, at: float) -> None:
        view = View(self.state, at, self.config)
        if self.changed and (self.lines or self.draining or self.state.pins):
            for decision in round_of(view):
                self._carry_out(decision, at)
        self.changed = False
        if self.ahead is not None and self.ahead.due:
            for load in self.ahead.propose(view):
                self._load(load, at)

    def _is_absent(self, model: str) -> bool:
        return self.absent > 0 and not self.here[model] and model not in self.loading

    def _carry_out(self, decision: Decision, at: float) -> None:
        match decision:
            case Load():
                self._load(decision, at)
            case Evict():
                self._evict(decision.node, decision.model, at)
            case Drain():
                resident = self.residents[decision.node, decision.model]
                resident.accepting, resident.wanted_by = False, decision.wanted_by
                self.draining += 1
            case Resume():
                resident = self.residents[decision.node, decision.model]
                resident.accepting, resident.wanted_by = True, None
                self.draining -= 1
                if resident.model in self.lines:
                    self._serve(resident, at)
            case Wait(until=until) if until is not None and until < self.ask_at:
                self.ask_at = until
                self._push(until, None, ASK)

    def _load(self, load: Load, at: float) -> None:
        for victim in load.evict:
            self._evict(load.node, victim, at)
        node, model = self.nodes[load.node], self.state.models[load.model]
        done = at + load.expected_s
        self.loading.add(load.model)
        node.busy_with = Action(
            kind="load", model=load.model, since=at, until=done, bytes=model.weights_bytes
        )
        self.record.loads += 1
        self.record.prefetches += load.cause == "prefetch"
        resident = Resident(
            node=load.node,
            model=load.model,
            digest=load.model,
            profile=load.profile,
            bytes=model.weights_bytes,
            measured=True,
            last_used=done,
            loaded_at=done,
            load_s=load.expected_s,
            cause=load.cause,
            used=load.cause != "prefetch",
        )
        if self.timeline is not None:
            self.timeline.load(load.node, load.model, at, done, prefetched=load.cause == "prefetch")
        self._push(done, resident, LOADED)

    def _evict(self, node: str, model: str, at: float) -> None:
        resident = self.residents.pop((node, model))
        self.here[model].remove(resident)
        self.absent += not self.here[model]
        self.draining -= not resident.accepting
        if self.ahead is not None:
            self.ahead.evicted(node, model, at)
        self.record.wasted += not resident.used
        if self.timeline is not None:
            self.timeline.gone(node, model, at)


def next_models(trace: Trace) -> list[Sequence[Hint]]:
    """For each request the model that its key asks for next, as an app would say that knows its workflow."""
    known = [(Hint(model=name),) for name in trace.model_names]
    following: dict[int, tuple[Hint, ...]] = {}
    hints: list[Sequence[Hint]] = [()] * len(trace)
    for i in range(len(trace) - 1, -1, -1):
        hints[i] = following.get(trace.keys[i], ())
        following[trace.keys[i]] = known[trace.models[i]]
    return hints

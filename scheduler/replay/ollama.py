"""Ollama's own scheduling in simulated time. With several nodes, each model has a home.

Rules (server/sched.go at v0.33.0-rc2):
1. A request for a loaded model goes past the queue to its runner: a free slot, or the runner's own line.
2. Every other request joins the node's one pending queue. Its head holds up all behind it until it is loaded.
3. The head needs a new runner: if fewer than three per GPU are loaded and it fits, it loads.
4. Else one victim goes: of all runners the one with the shortest keep_alive, ties by the path of its file,
   idle ones first. A busy victim is waited for, while rule 1 goes on giving it work.
5. A runner that is idle for its keep_alive (5 minutes) is unloaded.

Homes are dealt out evenly, as by a proxy with a table; `routed` is a router that asks every node what it has.
With one keep_alive for all, the order of victims is the order of file names. Names are hashes, so the replay
draws that order at random and reports the median over several draws. Kinder than the real thing: memory is
counted exactly (no 80 % rule, no recovery wait), the queue has no limit, and clients never give up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from scheduler.policy.config import GB
from scheduler.policy.state import Node
from scheduler.replay.fleet import Timing
from scheduler.replay.outcome import Record, Timeline
from scheduler.replay.trace import Trace

KEEP_ALIVE_S = 300.0
MOST_LOADED = 3
FREE = -1  # in place of a request's index: the node may look at its queue again
EXPIRES = -2


@dataclass(slots=True)
class Runner:
    model: int
    place: int  # of its file in the order of names
    bytes: int
    ready_at: float
    running: int = 0
    waiting: deque[int] = field(default_factory=deque)  # beyond its slots
    expires_at: float = float("inf")
    leaving: bool = False  # chosen as victim while busy


@dataclass(slots=True)
class Server:
    """One Ollama."""

    node: Node
    runners: dict[int, Runner] = field(default_factory=dict)
    pending: deque[int] = field(default_factory=deque)
    loading: Runner | None = None

    def free_bytes(self) -> int:
        return self.node.vram_bytes - sum(r.bytes for r in self.runners.values())


class OllamaFleet:
    """One replay of a trace under Ollama's own rules."""

    def __init__(
        self,
        trace: Trace,
        nodes: list[Node],
        timing: Timing,
        names_seed: int = 0,
        routed: bool = False,
        timeline: Timeline | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.trace, self.timing, self.routed = trace, timing, routed
        self.progress = progress
        self.servers = [Server(node) for node in nodes]
        order = list(range(len(trace.model_names)))
        Random(names_seed).shuffle(order)  # noqa: S311 - file names, not secrets
        self.place = {model: place for place, model in enumerate(order)}
        sizes = trace.sizes_gb
        self.bytes = [int(size * GB) for size in sizes]
        services = [
            timing.service_s(sizes[m], p, o)
            for m, p, o in zip(trace.models, trace.prompt_tokens, trace.output_tokens, strict=True)
        ]
        self.record = Record(waits=[0.0] * len(trace), services=services, cold=bytearray(len(trace)))
        self.record.timeline = self.timeline = timeline
        self.events: list[tuple[float, int, Server, Runner | None, int]] = []
        self.sequence = 0

    def run(self) -> Record:
        times, events = self.trace.times, self.events
        for i, at in enumerate(times):
            if not i & 1023:
                self.progress()
            while events and events[0][0] <= at:
                self._happen()
            self._arrive(i, at)
        while events:
            self._happen()
        return self.record

    def _push(self, at: float, server: Server, runner: Runner | None, what: int) -> None:
        self.sequence += 1
        heappush(self.events, (at, self.sequence, server, runner, what))

    def _happen(self) -> None:
        at, _, server, runner, what = heappop(self.events)
        if what >= 0 and runner is not None:
            self._end(server, runner, at)
        elif what == EXPIRES and runner is not None:
            if server.runners.get(runner.model) is runner and runner.expires_at <= at:  # 5
                self._unload(server, runner, at)
        elif runner is not None:
            self._loaded(server, runner, at)
        self._look_at_queue(server, at)

    def _arrive(self, i: int, at: float) -> None:
        model = self.trace.models[i]
        server = self._route(model)
        runner = server.runners.get(model)
        if runner is None or runner is server.loading:
            self.record.cold[i] = 1
            server.pending.append(i)  # 2
            self._look_at_queue(server, at)
        else:
            self._give(server, runner, i, at)  # 1

    def _route(self, model: int) -> Server:
        """The model's home; with a router that knows more, where it is or where the queue is shortest."""
        if not self.routed:
            return self.servers[self.place[model] % len(self.servers)]
        models = self.trace.models
        for server in self.servers:
            if model in server.runners or any(models[i] == model for i in server.pending):
                return server
        return min(self.servers, key=lambda s: (len(s.pending), -s.free_bytes(), s.node.name))

    def _give(self, server: Server, runner: Runner, i: int, at: float) -> None:
        runner.expires_at = float("inf")
        if runner.running < self.timing.slots:
            runner.running += 1
            self.record.waits[i] = at - self.trace.times[i]
            if self.timeline is not None:
                self.timeline.start(i, server.node.name, self.trace.model_names[runner.model])
            self._push(at + self.record.services[i], server, runner, i)
        else:
            runner.waiting.append(i)

    def _end(self, server: Server, runner: Runner, at: float) -> None:
        runner.running -= 1
        if runner.waiting:
            self._give(server, runner, runner.waiting.popleft(), at)
        elif runner.running == 0:
            if runner.leaving:
                self._unload(server, runner, at)
            else:
                runner.expires_at = at + KEEP_ALIVE_S
                self._push(runner.expires_at, server, runner, EXPIRES)

    def _unload(self, server: Server, runner: Runner, at: float) -> None:
        del server.runners[runner.model]
        if self.timeline is not None:
            self.timeline.gone(server.node.name, self.trace.model_names[runner.model], at)

    def _loaded(self, server: Server, runner: Runner, at: float) -> None:
        server.loading = None
        began = at - self._load_s(server, runner.model)
        waiting, server.pending = server.pending, deque()
        for i in waiting:
            if self.trace.models[i] == runner.model:
                self.record.path_s += at - max(self.trace.times[i], began)
                self._give(server, runner, i, at)
            else:
                server.pending.append(i)

    def _look_at_queue(self, server: Server, at: float) -> None:
        """Serve the head of the pending queue as far as that goes (2, 3, 4)."""
        while server.pending and server.loading is None:
            model = self.trace.models[server.pending[0]]
            if model in server.runners:
                self._give(server, server.runners[model], server.pending.popleft(), at)
                continue
            if len(server.runners) < MOST_LOADED and self.bytes[model] <= server.free_bytes():
                self._start_load(server, model, at)  # 3
                return
            if any(r.leaving for r in server.runners.values()):
                return
            victim = min(server.runners.values(), key=lambda r: (r.running > 0, r.place))  # 4
            if victim.running:
                victim = min(server.runners.values(), key=lambda r: r.place)
                victim.leaving = True
                return
            self._unload(server, victim, at)

    def _start_load(self, server: Server, model: int, at: float) -> None:
        done = at + self._load_s(server, model)
        runner = Runner(model, self.place[model], self.bytes[model], done)
        server.runners[model] = server.loading = runner
        self.record.loads += 1
        if self.timeline is not None:
            name = self.trace.model_names[model]
            self.timeline.load(server.node.name, name, at, done, prefetched=False)
        self._push(done, server, runner, FREE)

    def _load_s(self, server: Server, model: int) -> float:
        return server.node.load_overhead_s + self.trace.sizes_gb[model] / server.node.load_gbps

"""One Ollama node as a pure state machine: `now` is an argument, events come back as values.

The rules are those of Ollama's scheduler (reference, sections 2 to 4): serial loads with one
pending loop, FIFO slots for each runner, eviction by keep_alive, reloads when runner options differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from scheduler.simulator.config import NodeConfig
from scheduler.simulator.disturbance import Disturbance, Undisturbed
from scheduler.simulator.errors import BUSY, INPUT_TOO_LONG, PROMPT_TOO_LONG, exceeds_context, not_found
from scheduler.simulator.events import (
    Answered,
    Cancelled,
    Event,
    Finished,
    Kind,
    Refused,
    Request,
    Segment,
    Started,
)
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.pending import PendingLoop
from scheduler.simulator.profile import wanted_profile
from scheduler.simulator.runner import Leaving, Phase, Runner, Ticket
from scheduler.simulator.seen import Seen
from scheduler.simulator.timers import Timers

NUM_KEEP = 5  # tokens kept at the head of a prompt whose middle is cut: the default and the BOS token


def kept_tokens(prompt: tuple[Segment, ...], context: int) -> int:
    """Tokens of the newest messages that fit the context together; 0 when not even the last one does."""
    total = 0
    for segment in reversed(prompt):
        if total + segment.tokens > context:
            break
        total += segment.tokens
    return total


class Node:
    """The state of one node. Every method that takes `now` returns the events since the last call."""

    def __init__(
        self,
        config: NodeConfig,
        models: Iterable[InstalledModel],
        disturbance: Disturbance | None = None,
    ) -> None:
        self.config = config
        self.models = {model.name: model for model in models}
        self.disturbance = disturbance or Undisturbed()
        self.seen = Seen()
        self.now = 0.0
        self.runners: dict[str, Runner] = {}  # by blob: what Ollama calls loaded
        self.recovering = 0  # bytes of ended runners that the driver does not show as free yet
        self._timers = Timers()
        self._tickets: dict[int, Ticket] = {}
        self._events: list[Event] = []
        self.pending = PendingLoop(self)

    # ---- what a client does

    def submit(self, request: Request, now: float) -> list[Event]:
        """Take a request. Its events follow here or from later calls; exactly one of them ends it."""
        self._run_until(now)
        self.seen.counts["requests"] += 1
        model = self.models.get(request.model)
        if model is None:
            self.refuse(request.id, 404, not_found(request.model))
        elif request.kind is Kind.UNLOAD:
            self._unload_on_request(request, model)
        else:
            wanted = wanted_profile(model, request.options, request.shift, self.config)
            self._admit(Ticket(request=request, model=model, wanted=wanted))
        return self._settle(now)

    def finish(self, request_id: int, now: float, answer: Segment | None = None) -> list[Event]:
        """End a generation whose request is not `timed`; `answer` stays in the slot's cache."""
        self._run_until(now)
        self._finish(request_id, answer)
        return self._settle(now)

    def cancel(self, request_id: int, now: float) -> list[Event]:
        """The client of a request went away; nothing happens when it has already ended."""
        self._run_until(now)
        ticket = self._tickets.get(request_id)
        if ticket is not None and not ticket.gone:
            self._cancel(ticket)
        return self._settle(now)

    # ---- time

    def advance(self, now: float) -> list[Event]:
        """Let time pass until `now`."""
        return self._settle(now)

    def next_event_at(self) -> float | None:
        """When `advance` has something to do next, or None; it may be early, never late."""
        return self._timers.next_at()

    # ---- what can happen to it

    def runtime_oom(self, now: float) -> list[Event]:
        """Out of memory while generating: every runner is marked for unload (section 4.3)."""
        self._run_until(now)
        self.seen.counts["oom"] += 1
        for runner in list(self.runners.values()):
            self.mark_to_leave(runner, Leaving(cause="oom"))
        return self._settle(now)

    def fail_runner(self, model: str, now: float) -> list[Event]:
        """The runner's process died: its next request finds the health ping failing and reloads."""
        self._run_until(now)
        runner = self.runners.get(self.models[model].blob)
        if runner is not None:
            runner.failing = True
        return self._settle(now)

    def unstick(self, now: float) -> list[Event]:
        """Let the unloads that never completed complete."""
        self._run_until(now)
        for runner in [runner for runner in self.runners.values() if runner.stuck]:
            runner.stuck = False
            if runner.idle:
                self._unload(runner)
        return self._settle(now)

    # ---- what it shows

    def residents(self) -> list[Runner]:
        """What /api/ps lists: since 0.30 a model that is still loading is not among them."""
        loading = self.pending.loading
        if loading is None or self.config.generation.llama_server:
            return list(self.runners.values())
        return [*self.runners.values(), loading]

    @property
    def vram_used(self) -> int:
        loading = self.pending.loading
        return (
            sum(runner.placement.size_vram for runner in self.runners.values())
            + (loading.placement.size_vram if loading else 0)
            + self.recovering
        )

    @property
    def in_flight(self) -> int:
        """Requests that have not ended."""
        return len(self._tickets)

    # ---- the moves; the pending loop uses the public ones

    def schedule(self, moment: float, action: Callable[[], None]) -> None:
        self._timers.at(moment, action)

    def refuse(self, request_id: int, status: int, error: str) -> None:
        """End a request with an HTTP error."""
        self._tickets.pop(request_id, None)
        self.seen.counts["refused"] += 1
        self._events.append(Refused(request_id=request_id, at=self.now, status=status, error=error))

    def report_cancelled(self, ticket: Ticket, phase: Phase) -> None:
        """End a request whose client left."""
        ticket.gone = True
        self._tickets.pop(ticket.request.id, None)
        self.seen.counts["cancelled"] += 1
        self.seen.counts[f"cancelled_{phase.value}"] += 1
        self._events.append(Cancelled(request_id=ticket.request.id, at=self.now, phase=phase.value))

    def assign(self, ticket: Ticket, runner: Runner) -> None:
        """Give a request its runner (useLoadedRunner): it holds a reference, then waits for a slot."""
        request = ticket.request
        runner.references.add(request.id)
        self._take_keep_alive(request, runner)
        ticket.runner, ticket.assigned_at, ticket.phase = runner, self.now, Phase.WAITING
        if request.kind is Kind.LOAD:
            self._answer(request.id, "load")
            self._drop_reference(runner, request.id)
        elif error := self._too_long(ticket, runner):
            self.refuse(request.id, 400, error)
            self._drop_reference(runner, request.id)
        elif runner.free_slot:
            self._start(ticket, runner)
        else:
            runner.waiting.append(ticket)
            self.seen.raise_peak(self.seen.peak_waiting, ticket.model.name, len(runner.waiting))

    def mark_to_leave(self, runner: Runner, leaving: Leaving) -> None:
        """Set keep_alive to 0 and unload as soon as idle: Ollama has no unload by force."""
        runner.keep_alive_s = 0.0
        runner.leaving = leaving
        if runner.idle:
            self._unload(runner)

    # ---- requests

    def _unload_on_request(self, request: Request, model: InstalledModel) -> None:
        runner = self.runners.get(model.blob)
        if runner is not None:
            runner.expires_at = self.now
            self.mark_to_leave(runner, Leaving(cause="requested"))
        self._answer(request.id, "unload")

    def _admit(self, ticket: Ticket) -> None:
        self._tickets[ticket.request.id] = ticket
        runner = self.runners.get(ticket.model.blob)
        bypass = self.config.generation.loaded_bypass_queue
        if bypass and runner is not None and runner.reload_cause(ticket.wanted) is None:
            self.assign(ticket, runner)
        elif not self.pending.push(ticket):
            self.refuse(ticket.request.id, 503, BUSY)

    def _answer(self, request_id: int, reason: str) -> None:
        self._tickets.pop(request_id, None)
        self.seen.counts["answered"] += 1
        self._events.append(Answered(request_id=request_id, at=self.now, reason=reason))

    def _take_keep_alive(self, request: Request, runner: Runner) -> None:
        """A given keep_alive replaces the runner's, even one that was set to 0 to make it leave."""
        if request.keep_alive_s is None:
            return
        if runner.leaving is not None and request.keep_alive_s > 0:
            self.seen.counts["revived"] += 1
            runner.leaving = None
        runner.keep_alive_s = request.keep_alive_s

    def _too_long(self, ticket: Ticket, runner: Runner) -> str:
        request, context = ticket.request, runner.profile.num_ctx
        if request.prompt_tokens <= context:
            return ""
        if request.kind is Kind.EMBED or not self.config.generation.llama_server:
            return "" if request.truncate else INPUT_TOO_LONG
        if not request.truncate:
            return exceeds_context(request.prompt_tokens, context)
        return "" if runner.profile.shift or kept_tokens(request.prompt, context) else PROMPT_TOO_LONG

    def _start(self, ticket: Ticket, runner: Runner) -> None:
        request = ticket.request
        tokens, cached = self._prompt_tokens(request, runner.profile.num_ctx), 0
        if request.kind is Kind.GENERATE:
            ticket.slot, cached = runner.cache.take(request.prompt, tokens)
        ticket.phase = Phase.RUNNING
        runner.running[request.id] = ticket
        self.seen.counts["started"] += 1
        self.seen.raise_peak(self.seen.peak_in_flight, ticket.model.name, len(runner.running))
        started = ticket.started = self._started(ticket, runner, tokens, cached)
        self._events.append(started)
        if request.timed:
            ends_at = self.now + started.prefill_s + request.output_tokens * started.token_s
            self.schedule(ends_at, partial(self._finish, request.id, None))

    def _prompt_tokens(self, request: Request, context: int) -> int:
        """Tokens read after truncation: whole messages go first, then the middle of what is left."""
        if request.prompt_tokens <= context:
            return request.prompt_tokens
        if request.kind is Kind.EMBED:
            return context
        half = context - max((context - NUM_KEEP) // 2, 1)
        return kept_tokens(request.prompt, context) or (
            half if self.config.generation.llama_server else context
        )

    def _started(self, ticket: Ticket, runner: Runner, tokens: int, cached: int) -> Started:
        slowness, config = runner.slowness(self.config.cpu_slowdown), self.config
        prefill, decode = config.prefill_tokens_per_s, config.tokens_per_s
        return Started(
            request_id=ticket.request.id,
            at=self.now,
            assigned_at=ticket.assigned_at,
            num_ctx=runner.profile.num_ctx,
            prompt_tokens=tokens,
            cached_tokens=cached,
            prefill_s=(tokens - cached) / prefill * slowness if prefill else 0.0,
            token_s=slowness / decode if decode else 0.0,
        )

    def _finish(self, request_id: int, answer: Segment | None) -> None:
        ticket = self._tickets.get(request_id)
        if ticket is None or ticket.runner is None or ticket.phase is not Phase.RUNNING:
            return
        del self._tickets[request_id]
        self.seen.counts["completed"] += 1
        self._events.append(Finished(request_id=request_id, at=self.now))
        self._leave_slot(ticket, ticket.runner, answer)

    def _cancel(self, ticket: Ticket) -> None:
        phase, runner = ticket.phase, ticket.runner
        self.report_cancelled(ticket, phase)
        if phase is Phase.LOADING:
            self.pending.abort()
        elif phase is Phase.WAITING and runner is not None:
            runner.waiting.remove(ticket)
            self._drop_reference(runner, ticket.request.id)
        elif phase is Phase.RUNNING and runner is not None:
            self._forget_unread(ticket, runner)
            self._leave_slot(ticket, runner, None)

    def _forget_unread(self, ticket: Ticket, runner: Runner) -> None:
        """A request that ends while its prompt is read leaves what was read until then in its slot."""
        started = ticket.started
        if started is None or ticket.slot < 0 or self.now >= started.at + started.prefill_s:
            return
        share = (self.now - started.at) / started.prefill_s
        read = started.cached_tokens + share * (started.prompt_tokens - started.cached_tokens)
        runner.cache.cut(ticket.slot, int(read))

    def _leave_slot(self, ticket: Ticket, runner: Runner, answer: Segment | None) -> None:
        del runner.running[ticket.request.id]
        if ticket.slot >= 0:
            runner.cache.release(ticket.slot, answer)
        if runner.waiting:
            self._start(runner.waiting.popleft(), runner)
        self._drop_reference(runner, ticket.request.id)

    # ---- runners

    def _drop_reference(self, runner: Runner, request_id: int) -> None:
        """A handler returned; with the last one the keep_alive starts to run."""
        runner.references.discard(request_id)
        if runner.references:
            return
        if runner.keep_alive_s <= 0:
            runner.leaving = runner.leaving or Leaving(cause="requested")
            self._unload(runner)
        else:
            runner.expires_at = self.now + runner.keep_alive_s
            self._watch_expiry(runner)

    def _watch_expiry(self, runner: Runner) -> None:
        """Look at the runner when it may expire; one look stays pending however many requests pass."""
        at = runner.expires_at
        if at is None or at == math.inf or (runner.timer_at is not None and runner.timer_at <= at):
            return
        runner.timer_at = at
        self.schedule(at, partial(self._expire_if_due, runner))

    def _expire_if_due(self, runner: Runner) -> None:
        runner.timer_at = None
        if self.runners.get(runner.model.blob) is not runner or not runner.idle or runner.stuck:
            return
        if runner.expires_at is not None and runner.expires_at > self.now:
            self._watch_expiry(runner)
        else:
            runner.leaving = Leaving(cause="expired")
            self._unload(runner)

    def _unload(self, runner: Runner) -> None:
        """End an idle runner; whoever waits for its VRAM learns of it when the driver shows it as free."""
        if runner.stuck or self.disturbance.unload_sticks(runner.model.name):
            runner.stuck = True
            return
        del self.runners[runner.model.blob]
        self._note_unload(runner, runner.leaving or Leaving(cause="expired"))
        size = runner.placement.size_vram
        self.recovering += size
        self.schedule(
            self.now + (self.config.vram_recovery_s if size else 0.0), partial(self._recovered, size)
        )

    def _note_unload(self, runner: Runner, leaving: Leaving) -> None:
        facts = {"model": runner.model.name, "at": self.now, "by": leaving.by, "detail": leaving.detail}
        self.seen.note("unloads", cause=leaving.cause, **facts)
        if leaving.cause == "reload":
            self.seen.note("reloads", cause=leaving.detail, **facts)
        elif leaving.cause == "evicted":
            self.seen.note("evictions", cause=leaving.detail, **facts)

    def _recovered(self, size: int) -> None:
        self.recovering -= size
        self.pending.unloaded()

    # ---- the clock

    def _run_until(self, now: float) -> None:
        while due := self._timers.pop_due(now):
            self.now = max(self.now, due[0])
            due[1]()
        self.now = max(self.now, now)

    def _settle(self, now: float) -> list[Event]:
        self._run_until(now)
        events, self._events = self._events, []
        return events

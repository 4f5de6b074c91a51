"""Ollama's one pending loop: it serves requests that need a load, one at a time (processPending)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from scheduler.simulator.disturbance import LoadFate
from scheduler.simulator.errors import load_oom, too_large
from scheduler.simulator.memory import (
    MINIMUM_FREE,
    Footprint,
    automatic_batch,
    batch_surcharge,
    footprint,
    kv_bytes_per_token,
    place,
    predicted,
)
from scheduler.simulator.profile import Profile
from scheduler.simulator.prompt_cache import MIN_SHARE, PromptCache
from scheduler.simulator.runner import Leaving, Phase, Runner, Ticket

if TYPE_CHECKING:
    from scheduler.simulator.node import Node

_LOWER_CONTEXTS = (32768, 4096)  # what an automatic context is lowered to after an OOM at load


def choose_victim(runners: Iterable[Runner]) -> Runner:
    """The first idle runner in Ollama's order, else the first of all, which is waited for."""
    ordered = sorted(runners, key=Runner.victim_order)
    return next((runner for runner in ordered if runner.idle), ordered[0])


class PendingLoop:
    """The queue before it, the request at its head, and what the head waits for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._queue: deque[Ticket] = deque()
        self._head: Ticket | None = None
        self._awaited = 0  # unloads that the head waits for
        self.loading: Runner | None = None

    def __len__(self) -> int:
        """Requests in the queue; cancelled ones count until their turn, as in Ollama."""
        return len(self._queue)

    @property
    def blocked_by_unload(self) -> bool:
        return self._awaited > 0

    def push(self, ticket: Ticket) -> bool:
        """Queue a request, or return False when OLLAMA_MAX_QUEUE are waiting."""
        if len(self._queue) >= self._node.config.max_queue:
            return False
        self._queue.append(ticket)
        self._serve()
        seen = self._node.seen
        seen.peak_pending = max(seen.peak_pending, len(self._queue))
        return True

    def unloaded(self) -> None:
        """Some runner has gone: any unload wakes a head that waits for one."""
        if self._awaited:
            self._awaited -= 1
            self._serve()

    def abort(self) -> None:
        """The client whose request started the load left: the load is lost, the next one starts anew."""
        runner, self.loading, self._head = self.loading, None, None
        if runner is not None:
            self._note_abort(runner.model.name)
        self._serve()

    def _serve(self) -> None:
        while self._awaited == 0 and self.loading is None and (self._head or self._queue):
            if self._head is None:
                ticket = self._queue.popleft()
                if ticket.gone:
                    continue
                self._head = ticket
            self._step(self._head)

    def _step(self, head: Ticket) -> None:
        """1. use a loaded runner, 2. reload it, 3. load, or 4. make room, and then look again."""
        node = self._node
        runner = node.runners.get(head.model.blob)
        if runner is not None and (cause := runner.reload_cause(head.wanted)) is None:
            self._head = None
            if not head.gone:
                node.assign(head, runner)
        elif runner is not None:
            self._await_unload([runner], Leaving(cause="reload", detail=cause or "", by=head.model.name))
        elif limit := self._limit(head):
            victim = choose_victim(node.runners.values())
            self._await_unload([victim], Leaving(cause="evicted", detail=limit, by=head.model.name))
        else:
            self._load(head)

    def _limit(self, head: Ticket) -> str:
        """What stands in the way of loading beside the others: max_loaded, memory or nothing."""
        others = self._node.runners
        if others and len(others) >= self._node.config.most_loaded:
            return "max_loaded"
        return "memory" if others and not self._fits_beside(head) else ""

    def _fits_beside(self, head: Ticket) -> bool:
        config, layers = self._node.config, head.wanted.num_gpu
        if config.vram == 0 or layers == 0 or 0 < layers <= head.model.shape.blocks:
            return True
        free = config.vram - self._node.vram_used
        profile = self._resolved(head, free)
        if config.generation.llama_server:
            need = predicted(head.model, context=profile.num_ctx, slots=self._slots(head))
            return need + batch_surcharge(profile.num_batch) <= free * 0.8
        return self._footprint(head, profile).total + MINIMUM_FREE <= free

    def _await_unload(self, runners: list[Runner], leaving: Leaving) -> None:
        self._awaited = len(runners)
        for runner in runners:
            self._node.mark_to_leave(runner, leaving)

    def _slots(self, head: Ticket) -> int:
        return 1 if head.model.serial else max(1, self._node.config.slots)

    def _resolved(self, head: Ticket, free: int) -> Profile:
        """The profile with the batch that Ollama picks when nobody asks for one."""
        wanted = head.wanted
        if not wanted.num_batch_auto or head.model.embeds_only:
            return wanted
        context = wanted.num_ctx * self._slots(head)
        need = predicted(head.model, context=wanted.num_ctx, slots=self._slots(head))
        return replace(wanted, num_batch=automatic_batch(context, need, free))

    def _footprint(self, head: Ticket, profile: Profile) -> Footprint:
        return footprint(
            head.model,
            context=profile.num_ctx,
            batch=profile.num_batch,
            slots=self._slots(head),
            config=self._node.config,
        )

    def _load(self, head: Ticket) -> None:
        node = self._node
        if head.gone:
            self._head = None
            self._note_abort(head.model.name)
            return
        runner = self._new_runner(head)
        spilled = runner.placement.size - runner.placement.size_vram
        if spilled > node.config.ram:
            self._head = None
            node.refuse(head.request.id, 500, too_large(node.config.generation, spilled, node.config.ram))
            return
        head.phase, self.loading = Phase.LOADING, runner
        fate = node.disturbance.load_fate(head.model.name)
        if fate.end != "hang":
            seconds = (
                node.config.load_fixed_s + head.model.size / node.config.load_bytes_per_s
            ) * fate.factor
            node.schedule(node.now + seconds, partial(self._loaded, runner, fate, node.now))

    def _new_runner(self, head: Ticket) -> Runner:
        node, slots = self._node, self._slots(head)
        free = node.config.vram - node.vram_used
        profile = self._resolved(head, free)
        need = self._footprint(head, profile)
        keep_alive = head.request.keep_alive_s
        return Runner(
            model=head.model,
            profile=profile,
            placement=place(need, head.model, free=free, layers=profile.num_gpu, config=node.config),
            slots=slots,
            keep_alive_s=node.config.keep_alive_s if keep_alive is None else keep_alive,
            cache=self._new_cache(head, slots),
        )

    def _new_cache(self, head: Ticket, slots: int) -> PromptCache:
        config = self._node.config
        if not config.generation.llama_server:
            return PromptCache(slots=slots, spare_tokens=0, min_share=0.0)
        per_token = max(1.0, kv_bytes_per_token(head.model.shape, config))
        return PromptCache(slots=slots, spare_tokens=int(config.cache_ram / per_token), min_share=MIN_SHARE)

    def _loaded(self, runner: Runner, fate: LoadFate, began_at: float) -> None:
        node, head = self._node, self._head
        if self.loading is not runner or head is None:
            return  # it was aborted meanwhile
        self.loading = None
        if fate.end == "oom":
            self._out_of_memory(head)
        else:
            runner.loading, self._head = False, None
            node.runners[runner.model.blob] = runner
            self._note_load(runner, began_at)
            node.assign(head, runner)
        self._serve()

    def _out_of_memory(self, head: Ticket) -> None:
        """Since 0.30 one retry: with a smaller automatic context, and alone on the node (section 4.3)."""
        node = self._node
        node.seen.counts["oom"] += 1
        lower = next((c for c in _LOWER_CONTEXTS if c < head.wanted.num_ctx), 0) * head.wanted.num_ctx_auto
        retry = node.config.generation.llama_server and not head.oom_retried and (lower or node.runners)
        if not retry:
            self._head = None
            node.refuse(head.request.id, 500, load_oom(node.config.generation))
            return
        head.oom_retried, head.phase = True, Phase.QUEUED
        if lower:
            head.wanted = replace(head.wanted, num_ctx=lower)
        self._await_unload(
            list(node.runners.values()), Leaving(cause="evicted", detail="oom", by=head.model.name)
        )

    def _note_load(self, runner: Runner, began_at: float) -> None:
        node = self._node
        node.seen.note(
            "loads",
            model=runner.model.name,
            at=node.now,
            seconds=node.now - began_at,
            num_ctx=runner.profile.num_ctx,
            slots=runner.slots,
            size=runner.placement.size,
            size_vram=runner.placement.size_vram,
        )

    def _note_abort(self, model: str) -> None:
        self._node.seen.note("aborted_loads", model=model, at=self._node.now)

"""One loaded model: its slots, the line before them, and who still refers to it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from scheduler.simulator.events import Request, Started
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.memory import Placement
from scheduler.simulator.profile import Profile, reload_cause
from scheduler.simulator.prompt_cache import PromptCache


class Phase(Enum):
    """Where a request is."""

    QUEUED = "queued"
    LOADING = "loading"
    WAITING = "waiting"  # for a slot
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Why a runner is to be unloaded, by which option or limit, and for which model."""

    cause: str  # expired | requested | evicted | reload | oom
    detail: str = ""
    by: str = ""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request inside the node."""

    request: Request
    model: InstalledModel
    wanted: Profile
    phase: Phase = Phase.QUEUED
    gone: bool = False  # cancelled while queued: skipped when its turn comes
    oom_retried: bool = False
    runner: Runner | None = None
    assigned_at: float = 0.0
    slot: int = -1
    started: Started | None = None


@dataclass(slots=True, eq=False)
class Runner:
    """The process of one loaded model, keyed by its blob. Times are the node's seconds."""

    model: InstalledModel
    profile: Profile
    placement: Placement
    slots: int
    keep_alive_s: float
    cache: PromptCache
    loading: bool = True
    failing: bool = False  # its health ping fails: the next request reloads it
    references: set[int] = field(default_factory=set)  # ids of requests whose handlers still run
    running: dict[int, Ticket] = field(default_factory=dict)
    waiting: deque[Ticket] = field(default_factory=deque)
    expires_at: float | None = None  # set when the last request ends; stale while requests run
    timer_at: float | None = None  # the earliest pending look at `expires_at`
    leaving: Leaving | None = None  # it is to be unloaded once idle
    stuck: bool = False  # its unload never completes

    @property
    def idle(self) -> bool:
        return not self.references

    @property
    def free_slot(self) -> bool:
        return len(self.running) < self.slots

    def slowness(self, cpu_slowdown: float) -> float:
        """How many times slower than fully on the GPU: the layers in host memory set the pace."""
        size, vram = self.placement.size, self.placement.size_vram
        return 1.0 if size == vram else (vram + (size - vram) * cpu_slowdown) / size

    def reload_cause(self, wanted: Profile) -> str | None:
        """Why a request that wants `wanted` makes Ollama start this runner anew, or None."""
        return "ping" if self.failing else reload_cause(self.profile, wanted)

    def victim_order(self) -> tuple[float, str]:
        """Ollama's order of eviction: smallest keep_alive, then path (ByDurationAndName)."""
        return self.keep_alive_s, self.model.path

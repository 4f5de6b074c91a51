"""What the policy is shown: nodes, models, residents, lines and pins at one moment.

Whoever observes owns these values and may update them in place (the replay does, for speed); the policy
only reads them. `decide` is given a State and a clock reading and returns decisions.

Live, the worker builds a State from nodes (`/api/ps`, `/api/tags`, NVML), the board (lines, in flight) and
the catalogue. Bytes are bytes, times are Unix seconds, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from scheduler.policy.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The runner options that every call for a model on a node carries, so that Ollama never reloads it."""

    num_ctx: int  # tokens of one slot
    slots: int = 1  # parallel generations: OLLAMA_NUM_PARALLEL of the node, 1 for some models
    kv_type: str = "f16"  # OLLAMA_KV_CACHE_TYPE of the node
    num_batch: int | None = None
    shift: bool | None = None  # a request field, not an option
    options: tuple[tuple[str, int | bool], ...] = ()  # further runner options, sorted by name

    def runner_options(self) -> dict[str, int | bool]:
        """The `options` object of a call to the node. Slots and KV type are the node's environment."""
        batch = {} if self.num_batch is None else {"num_batch": self.num_batch}
        return {"num_ctx": self.num_ctx, **batch, **dict(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a node is doing now: one action at a time."""

    kind: Literal["load", "evict", "drain"]
    model: str
    since: float
    until: float | None = None  # when it is expected to be done
    num_ctx: int = 0  # of a load
    bytes: int = 0  # reserved for a load
    cause: str = ""  # of a load: a prefetch may be called off for demand


@dataclass(slots=True, kw_only=True)
class Node:
    """One Ollama server as last observed."""

    name: str
    vram_bytes: int  # what models may use in all
    vram_known: bool = True  # False: nobody told, and `vram_bytes` is without bound
    free_bytes: int | None = None  # measured by NVML; None: not measured
    healthy: bool = True
    quarantined_until: float = 0.0  # its loads hang: nothing new is loaded here before then
    draining: bool = False  # being emptied by an operator
    slots: int = 1  # OLLAMA_NUM_PARALLEL
    kv_type: str = "f16"
    max_residents: int | None = None  # OLLAMA_MAX_LOADED_MODELS; above it Ollama itself would evict
    load_gbps: float = 2.0  # measured
    load_overhead_s: float = 1.5
    busy_with: Action | None = None


@dataclass(slots=True, kw_only=True)
class Model:
    """A catalogue entry."""

    name: str
    digests: Mapping[str, str]  # per node that has it; the most common one is the right one
    weights_bytes: int
    shape: Shape | None = None  # from /api/show; None: only the weights are known
    trained_ctx: int | None = None  # tokens
    num_ctx: int = 8192  # tokens that it is loaded with when nobody asks for more
    buckets: tuple[int, ...] = ()  # contexts it may have; empty: the configured ones
    max_slots: int | None = None  # 1 for embedding models and some families (Ollama)
    max_replicas: int | None = None
    num_batch: int | None = None
    shift: bool | None = None
    options: tuple[tuple[str, int | bool], ...] = ()
    may_spill: bool = False  # what exceeds a whole node's VRAM may lie in host memory
    prefetch: bool = True  # False: switched off by an operator or by its own losses


@dataclass(slots=True, kw_only=True)
class Resident:
    """A model loaded on a node with its profile."""

    node: str
    model: str
    digest: str
    profile: Profile
    bytes: int  # VRAM, measured (size_vram) or predicted
    measured: bool = False
    spilled_bytes: int = 0  # size - size_vram: what lies in host memory
    in_flight: int = 0
    accepting: bool = True
    wanted_by: str | None = None  # while it drains: the model that waits for its room
    last_used: float = 0.0
    loaded_at: float = 0.0
    load_s: float | None = None  # what its load took
    cause: str = "found"
    used: bool = True  # False: prefetched, and nobody has come yet


@dataclass(slots=True, kw_only=True)
class Line:
    """The demand for one model."""

    model: str
    waiting: int
    since: float  # when its oldest request came
    num_ctx: int = 0  # the largest context asked for, tokens; 0: none asked
    priority: int = 1
    keys: Mapping[str, int] = field(default_factory=dict)  # waiting by key


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A pinning policy whose window is open now, its model and nodes resolved."""

    model: str
    nodes: frozenset[str] | None = None  # None: any node
    min_replicas: int = 1
    priority: int = 0
    name: str = ""  # of the policy, for the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an operator asked the scheduler for."""

    kind: Literal["load", "evict"]
    model: str
    node: str | None = None  # None: where it fits best (load), everywhere (evict)
    num_ctx: int = 0


class Forecast(Protocol):
    """Who will be asked for soon."""

    def chance(self, model: str, now: float, horizon_s: float) -> float:
        """Probability that a request for `model` comes within `horizon_s` seconds."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What VRAM need depends on."""

    digest: str
    num_ctx: int
    slots: int
    kv_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """VRAM need as nodes reported it."""

    bytes: int  # largest seen
    error: float  # relative spread of what was seen
    samples: int = 1


@dataclass(slots=True, kw_only=True)
class Stats:
    """What was learned from the past."""

    footprints: Mapping[Footprint, Measured] = field(default_factory=dict)
    service_s: Mapping[str, float] = field(default_factory=dict)  # by model: how long a request holds a seat
    load_s: Mapping[tuple[str, str], float] = field(default_factory=dict)  # by (node, model): what loads took
    failures: Mapping[tuple[str, str], float] = field(
        default_factory=dict
    )  # by (node, model): no retry before


@dataclass(slots=True, kw_only=True)
class State:
    """Everything a decision may depend on."""

    nodes: Mapping[str, Node]
    models: Mapping[str, Model]
    residents: Mapping[tuple[str, str], Resident]  # by (node, model)
    lines: Mapping[str, Line]  # by model; only those with waiting > 0
    pins: Sequence[Pin] = ()
    wishes: Sequence[Wish] = ()
    stats: Stats = field(default_factory=Stats)
    forecast: Forecast | None = None

"""What a node is asked and what it answers, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a request wants of a model."""

    GENERATE = "generate"
    EMBED = "embed"
    LOAD = "load"  # an empty prompt
    UNLOAD = "unload"  # an empty prompt with keep_alive 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One piece of a prompt (tools, a message): equal keys are equal tokens."""

    key: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a node. `keep_alive_s` None is not given, infinite is for ever."""

    id: int
    model: str  # with tag
    kind: Kind = Kind.GENERATE
    prompt: tuple[Segment, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    keep_alive_s: float | None = None
    shift: bool | None = None
    truncate: bool = True
    output_tokens: int = 0
    timed: bool = False  # the node ends it by its own reckoning; otherwise `Node.finish` does

    @property
    def prompt_tokens(self) -> int:
        return sum(segment.tokens for segment in self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A request has its slot: the prompt is being read, then tokens come."""

    request_id: int
    at: float
    assigned_at: float  # when a runner was found for it; Ollama's load_duration ends here
    num_ctx: int
    prompt_tokens: int  # after truncation
    cached_tokens: int
    prefill_s: float
    token_s: float  # for each token of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request without generation is done: its model is ready, or marked for unload."""

    request_id: int
    at: float
    reason: str  # load | unload


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A generation is over and its slot is free."""

    request_id: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Its client went away; `phase` is queued, loading, waiting or running."""

    request_id: int
    at: float
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The node's error, as its HTTP status and text."""

    request_id: int
    at: float
    status: int
    error: str


Event = Started | Answered | Finished | Cancelled | Refused
Ended = Answered | Finished | Cancelled | Refused

"""A clock and a hand on one simulated node: what the state machine's tests are written with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from scheduler.simulator.config import NodeConfig
from scheduler.simulator.disturbance import Disturbance
from scheduler.simulator.events import (
    Answered,
    Cancelled,
    Ended,
    Event,
    Finished,
    Kind,
    Refused,
    Request,
    Segment,
    Started,
)
from scheduler.simulator.generation import Generation
from scheduler.simulator.installed import parse_models
from scheduler.simulator.node import Node

GIB = 2**30
OLD = Generation.of("0.24.0")
NEW = Generation.of("0.32.15")
FOREVER = math.inf
E = TypeVar("E", bound=Event)


def config(**changes: object) -> NodeConfig:
    """A node that loads 1 GB a second, generates 10 tokens a second and reads prompts at once."""
    plain: dict[str, object] = {
        "load_fixed_s": 0.0,
        "load_bytes_per_s": 1e9,
        "vram_recovery_s": 0.0,
        "tokens_per_s": 10.0,
        "prefill_tokens_per_s": 0.0,
        "context_length": 4096,
    }
    return NodeConfig(**{**plain, **changes})  # type: ignore[arg-type]


class Play:
    """One node in play. Requests are timed: the node itself ends them."""

    def __init__(
        self,
        models: str = "a=2,b=2,c=2,d=2",
        disturbance: Disturbance | None = None,
        **changes: object,
    ) -> None:
        self.node = Node(config(**changes), parse_models(models).values(), disturbance)
        self.now = 0.0
        self.events: list[Event] = []
        self._ids = 0

    def ask(
        self,
        model: str = "a",
        *,
        tokens: int = 10,
        prompt: tuple[Segment, ...] = (Segment(key=1, tokens=10),),
        options: Mapping[str, object] | None = None,
        keep_alive: float | None = None,
        kind: Kind = Kind.GENERATE,
        shift: bool | None = None,
        truncate: bool = True,
    ) -> int:
        """Submit a request now; its id."""
        self._ids += 1
        request = Request(
            id=self._ids,
            model=model if ":" in model else f"{model}:latest",
            kind=kind,
            prompt=prompt,
            options=options or {},
            keep_alive_s=keep_alive,
            shift=shift,
            truncate=truncate,
            output_tokens=tokens,
            timed=True,
        )
        self.events += self.node.submit(request, self.now)
        return self._ids

    def load(self, model: str = "a", **kwargs: object) -> int:
        return self.ask(model, kind=Kind.LOAD, **kwargs)  # type: ignore[arg-type]

    def unload(self, model: str = "a") -> int:
        return self.ask(model, kind=Kind.UNLOAD, keep_alive=0.0)

    def cancel(self, request_id: int) -> None:
        self.events += self.node.cancel(request_id, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.events += self.node.advance(self.now)

    def settle(self, limit: float = 1e6) -> None:
        """Let time pass until nothing more is to come, keep_alive timers included."""
        while (at := self.node.next_event_at()) is not None and at < limit:
            self.now = max(self.now, at)
            self.events += self.node.advance(self.now)

    def ready(self, *models: str, keep_alive: float | None = None) -> None:
        """Load models, one after the other, and wait for them."""
        for model in models:
            self.load(model, keep_alive=keep_alive)
            self.wait(20)
        assert set(models) <= set(self.loaded), self.loaded

    @property
    def loaded(self) -> list[str]:
        return [runner.model.name.removesuffix(":latest") for runner in self.node.runners.values()]

    def find(self, kind: type[E], request_id: int) -> E | None:
        found = (e for e in self.events if isinstance(e, kind) and e.request_id == request_id)
        return next(found, None)

    def started(self, request_id: int) -> Started:
        event = self.find(Started, request_id)
        assert event is not None, f"request {request_id} has not started"
        return event

    def has_started(self, request_id: int) -> bool:
        return self.find(Started, request_id) is not None

    def ended(self, request_id: int) -> Ended | None:
        for kind in (Finished, Answered, Refused, Cancelled):
            if (event := self.find(kind, request_id)) is not None:
                return event
        return None

    def refusal(self, request_id: int) -> Refused:
        event = self.find(Refused, request_id)
        assert event is not None, f"request {request_id} was not refused"
        return event

"""A small cast for policy tests: nodes of GB, models of GB, residents and lines in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from scheduler.policy.config import GB, Config
from scheduler.policy.decisions import Decision
from scheduler.policy.state import Line, Model, Node, Pin, Profile, Resident, State, Stats, Wish

# Sizes are exact here, so that every number in a test can be worked out by hand.
EXACT = Config(margin=0.0, margin_floor=0.0, runner_bytes=0, fit_bytes=0, beside=1.0, min_residency_s=0.0)
T = TypeVar("T")
NOW = 1_000_000.0


def node(name: str = "n1", gb: float = 48, **fields: object) -> Node:
    return Node(name=name, vram_bytes=int(gb * GB), **{"slots": 4, **fields})  # type: ignore[arg-type]


def model(name: str, gb: float = 10, nodes: Iterable[str] = ("n1",), **fields: object) -> Model:
    digests = fields.pop("digests", None) or dict.fromkeys(nodes, f"digest-{name}")
    return Model(name=name, digests=digests, weights_bytes=int(gb * GB), **fields)  # type: ignore[arg-type]


def resident(of: Model, on: str = "n1", *, num_ctx: int = 8192, **fields: object) -> Resident:
    usual: dict[str, object] = {
        "profile": Profile(num_ctx=num_ctx, slots=4),
        "bytes": of.weights_bytes,
        "last_used": NOW - 60,
        "loaded_at": NOW - 600,
    }
    return Resident(node=on, model=of.name, digest=of.digests[on], **{**usual, **fields})  # type: ignore[arg-type]


def line(of: str, *, waiting: int = 1, age: float = 1.0, **fields: object) -> Line:
    return Line(model=of, waiting=waiting, since=NOW - age, **fields)  # type: ignore[arg-type]


def state(
    nodes: Iterable[Node],
    models: Iterable[Model],
    residents: Iterable[Resident] = (),
    lines: Iterable[Line] = (),
    *,
    pins: Iterable[Pin] = (),
    wishes: Iterable[Wish] = (),
    stats: Stats | None = None,
) -> State:
    return State(
        nodes={n.name: n for n in nodes},
        models={m.name: m for m in models},
        residents={(r.node, r.model): r for r in residents},
        lines={x.model: x for x in lines},
        pins=list(pins),
        wishes=list(wishes),
        stats=stats or Stats(),
    )


def of_type(decisions: Iterable[Decision], kind: type[T]) -> list[T]:
    return [d for d in decisions if isinstance(d, kind)]

"""The State that policy decides on, from rows, sights, the book, the board and what was learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from scheduler.board.interface import Line as BoardLine
from scheduler.nodes.replies import RunningModel
from scheduler.policy import context
from scheduler.policy.config import Config
from scheduler.policy.state import (
    Action,
    Forecast,
    Line,
    Model,
    Node,
    Pin,
    Profile,
    Resident,
    State,
    Stats,
    Wish,
)
from scheduler.policy.view import View
from scheduler.residency.rows import NodeRow, Rows
from scheduler.residency.sight import Sight

UNKNOWN_VRAM = 2**62  # bytes: nobody told, and nothing has spilled yet
UNKNOWN_RESIDENTS = 3  # what Ollama itself allows on a node of one GPU (3 for each; 3 without one)
FOR_EVER = timedelta(days=365)  # an expiry further away than this is none: Ollama says about the year 2318


def state(
    rows: Rows,
    sights: Mapping[str, Sight],
    residents: Mapping[tuple[str, str], Resident],
    *,
    lines: Iterable[BoardLine],
    busy: Mapping[str, Action],
    pins: Sequence[Pin],
    wishes: Sequence[Wish],
    stats: Stats,
    free: Mapping[str, int],
    now: float,
    forecast: Forecast | None = None,
) -> State:
    """Everything a decision may depend on. Residents of nodes that are not enabled are left out."""
    nodes = {
        row.name: node(row, sights.get(row.name), busy.get(row.name), free.get(row.name), now)
        for row in rows.nodes.values()
    }
    return State(
        nodes=nodes,
        models=rows.models,
        residents={key: r for key, r in residents.items() if r.node in nodes},
        lines={line.model: policy_line(line) for line in lines if line.waiting},
        pins=pins,
        wishes=wishes,
        stats=stats,
        forecast=forecast,
    )


def node(row: NodeRow, sight: Sight | None, busy: Action | None, free: int | None, now: float) -> Node:
    known = row.vram_bytes or (sight.learned_vram if sight else None)
    return Node(
        name=row.name,
        vram_bytes=known or UNKNOWN_VRAM,
        vram_known=bool(known),
        free_bytes=free,
        healthy=sight is not None and sight.up,
        quarantined_until=sight.blocks_loads_until(now) if sight else 0.0,
        draining=row.draining,
        slots=row.slots,
        kv_type=row.kv_type,
        max_residents=None if known else UNKNOWN_RESIDENTS,
        load_gbps=row.load_gbps or Config().load_gbps,
        busy_with=busy,
    )


def policy_line(line: BoardLine) -> Line:
    return Line(
        model=line.model,
        waiting=line.waiting,
        since=line.since,
        num_ctx=line.num_ctx,
        priority=line.priority,
        keys=line.keys,
    )


def adopted_profile(rows: Rows, node: str, line: RunningModel) -> Profile:
    """The profile of a resident that someone else loaded: the reported context, else our usual one."""
    row = rows.nodes.get(node)
    model = rows.models.get(line.name)
    if row is None or model is None:
        slots, kv_type = (row.slots, row.kv_type) if row else (1, "f16")
        return Profile(num_ctx=line.num_ctx or 4096, slots=slots, kv_type=kv_type)
    place = Node(name=row.name, vram_bytes=0, slots=row.slots, kv_type=row.kv_type)
    return context.profile(model, place, line.num_ctx or context.usual(model))


def will_expire(line: RunningModel, now: float) -> bool:
    """Whether the node will unload it by itself: some call carried another keep_alive."""
    return line.expires_at is not None and line.expires_at < datetime.fromtimestamp(now, UTC) + FOR_EVER


def loadable(state: State, now: float, config: Config) -> dict[str, float | None]:
    """By model, the seconds until it could be loaded, on the best of the nodes that answer and have it."""
    view = View(state, now, config)
    return {
        model.name: min(_ready_in(view, model), default=None)
        for model in state.models.values()
        if view.holders(model)
    }


def _ready_in(view: View, model: Model) -> Iterable[float]:
    for node in view.holders(model):
        load_s = view.load_s(node, model)
        doing = node.busy_with
        left = max((doing.until or view.now) - view.now, 0.0) if doing else 0.0
        yield left if doing and doing.kind == "load" and doing.model == model.name else left + load_s

"""Why a model is, or is not, placed: the very decision of the worker, asked about one more request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scheduler.policy import context, packing, placement
from scheduler.policy.config import GB, Config
from scheduler.policy.decide import decide
from scheduler.policy.decisions import Decision, Drain, Load, Refuse, Wait
from scheduler.policy.state import Line, Model, Node, Resident, State
from scheduler.policy.view import View
from scheduler.residency.assemble import UNKNOWN_VRAM

Verdict = Literal["resident", "load", "evict", "drain", "wait", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """What one node has to offer the model."""

    node: str
    free_bytes: int | None  # None: its VRAM is not known
    vram_bytes: int | None
    need_bytes: int | None  # None: it does not have the model
    load_s: float | None
    goes: tuple[str, ...]  # what would be evicted there
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would become of a request that came now."""

    model: str
    num_ctx: int  # tokens that it would be loaded with
    verdict: Verdict
    node: str  # where; empty when nowhere
    said: str
    goes: tuple[str, ...] = ()
    nodes: tuple[OnNode, ...] = ()
    waiting: int = 0  # in its line now


def explain(
    state: State,
    name: str,
    now: float,
    config: Config,
    *,
    num_ctx: int = 0,
    errors: Mapping[str, str] | None = None,
) -> Explanation:
    """Decide on a line of one request (besides those that wait) and say what that means on each node.

    `errors`: by node, why it does not answer.
    """
    known = state.lines.get(name)
    line = replace(known, waiting=known.waiting + 1, num_ctx=max(known.num_ctx, num_ctx)) if known else None
    line = line or Line(model=name, waiting=1, since=now, num_ctx=num_ctx)
    asked = replace(state, lines={name: line}, wishes=())
    model = state.models.get(name)
    bucket = context.bucket(model, line.num_ctx, config) if model else 0
    verdict, node, said, goes = _verdict(asked, name, line, decide(asked, now, config))
    return Explanation(
        model=name,
        num_ctx=bucket,
        verdict=verdict,
        node=node,
        said=said,
        goes=goes,
        nodes=tuple(
            _on_node(asked, n, model, bucket, now, config, errors or {}) for n in asked.nodes.values()
        )
        if model
        else (),
        waiting=known.waiting if known else 0,
    )


def _verdict(
    state: State, name: str, line: Line, decisions: list[Decision]
) -> tuple[Verdict, str, str, tuple[str, ...]]:
    for decision in decisions:
        if isinstance(decision, Load) and decision.model == name:
            goes = tuple(m for m in decision.evict if m != name)
            return ("evict" if goes else "load", decision.node, _why_there(state, decision), goes)
        if isinstance(decision, Drain) and decision.wanted_by == name:
            return "drain", decision.node, decision.reason, (decision.model,)
        if isinstance(decision, Refuse) and decision.model == name:
            return "refuse", "", decision.detail, ()
    serving = _serving(state, name, line)
    if serving:
        return "resident", serving, f"It is loaded on {serving} and serves this request.", ()
    waits = [d for d in decisions if isinstance(d, Wait) and d.model == name]
    return "wait", "", waits[0].reason if waits else "Nothing can be done for it now.", ()


def _why_there(state: State, decision: Load) -> str:
    resident = state.residents.get((decision.node, decision.model))
    again = f"It is loaded with {resident.profile.num_ctx} tokens, and loaded anew. " if resident else ""
    node = state.nodes[decision.node]
    if node.vram_bytes == UNKNOWN_VRAM:
        return f"{again}It needs {decision.bytes / GB:.1f} GB; how much VRAM {node.name} has is not known."
    return f"{again}It needs {decision.bytes / GB:.1f} of the {node.vram_bytes / GB:.1f} GB of {node.name}."


def _serving(state: State, name: str, line: Line) -> str:
    there = [
        r
        for r in state.residents.values()
        if r.model == name and r.accepting and r.profile.num_ctx >= line.num_ctx and _up(state, r.node)
    ]
    return min(there, key=lambda r: (r.in_flight / r.profile.slots, r.node)).node if there else ""


def _up(state: State, node: str) -> bool:
    return node in state.nodes and state.nodes[node].healthy


def _on_node(
    state: State,
    node: Node,
    model: Model,
    num_ctx: int,
    now: float,
    config: Config,
    errors: Mapping[str, str],
) -> OnNode:
    view = View(state, now, config)
    has = node.name in model.digests
    goes, said = _offer(view, node, model, num_ctx, errors.get(node.name, ""))
    return OnNode(
        node=node.name,
        free_bytes=None if node.vram_bytes == UNKNOWN_VRAM else max(view.free(node), 0),
        vram_bytes=None if node.vram_bytes == UNKNOWN_VRAM else node.vram_bytes,
        need_bytes=placement.need(view, node, model, num_ctx) if has else None,
        load_s=view.load_s(node, model) if has else None,
        goes=goes,
        said=said,
    )


def _offer(view: View, node: Node, model: Model, num_ctx: int, error: str) -> tuple[tuple[str, ...], str]:
    """What would go there, and a sentence."""
    obstacle = _obstacle(view, node, model, error)
    if obstacle:
        return (), obstacle
    resident = view.state.residents.get((node.name, model.name))
    if resident is not None and resident.profile.num_ctx >= num_ctx:
        slots = f"{resident.in_flight} of {resident.profile.slots} slots taken"
        kept = " It is pinned." if (node.name, model.name) in view.pinned() else ""
        if resident.cause == "prefetch":
            kept += " It was prefetched" + (", and nobody came yet." if not resident.used else ".")
        return (), f"Loaded with {resident.profile.num_ctx} tokens, {slots}.{kept}"
    if resident is not None:
        return _larger(view, node, model, num_ctx, resident)
    option = placement.on(view, node, model, num_ctx)
    if option is not None:
        goes = option.victims.models
        said = f"It fits when {', '.join(goes)} goes." if goes else "It fits."
        said += f" Expected regret {option.victims.regret_s:.1f} s." if goes else ""
        return goes, said + _spill(view, node, model, num_ctx)
    busy = placement.on(view, node, model, num_ctx, busy=True)
    if busy is not None:
        return busy.victims.models, f"{', '.join(busy.victims.models)} would have to go, and is in use."
    return (), _too_small(view, node, model, num_ctx)


def _larger(
    view: View, node: Node, model: Model, num_ctx: int, resident: Resident
) -> tuple[tuple[str, ...], str]:
    """What a planned reload with more context would take."""
    loaded = f"Loaded with {resident.profile.num_ctx} tokens"
    option = placement.in_place(view, node, model, num_ctx)
    if option is None:
        return (), f"{loaded}; {num_ctx} do not fit. {_too_small(view, node, model, num_ctx)}"
    others = tuple(m for m in option.victims.models if m != model.name)
    beside = f" when {', '.join(others)} goes" if others else ""
    return others, f"{loaded}; {num_ctx} fit{beside}, after draining."


def _spill(view: View, node: Node, model: Model, num_ctx: int) -> str:
    """A warning where only a part of it fits into VRAM."""
    profile = context.profile(model, node, num_ctx)
    digest = model.digests.get(node.name, "")
    over = packing.need(model, digest, profile, view.state.stats, view.config) - placement.whole(view, node)
    if over <= 0:
        return ""
    return f" About {over / GB:.1f} GB of it would lie in host memory, which is slow."


def _obstacle(view: View, node: Node, model: Model, error: str) -> str:
    """Why the node is not asked at all; empty when it is."""
    if node.name not in model.digests:
        return "It does not have the model."
    if not node.healthy:
        return f"It does not answer: {error}." if error else "It does not answer."
    if node.quarantined_until > view.now:
        return "Its loads hang: it is in quarantine."
    if node.draining:
        return "It is being emptied by an operator."
    if node.busy_with is not None:
        return f"It is busy: {node.busy_with.kind} {node.busy_with.model}."
    if view.state.stats.failures.get((node.name, model.name), 0.0) > view.now:
        return "A load failed there a moment ago."
    return ""


def _too_small(view: View, node: Node, model: Model, num_ctx: int) -> str:
    need, room = placement.need(view, node, model, num_ctx), placement.capacity(view, node, model)
    if need <= room:
        return "What is in the way was loaded a moment ago; it stays its minimum residency."
    pinned = placement.whole(view, node) - room
    beside = f" beside {pinned / GB:.1f} GB that is pinned" if pinned else ""
    return f"It can never fit: it needs {need / GB:.1f} GB, the node has {room / GB:.1f} GB{beside}."

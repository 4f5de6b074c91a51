"""Placement: which node loads a model, and what goes there to make room.

Of the nodes that may be given the model now:
1. nodes with the right digest (the one most nodes have) before others;
2. the context that was asked for must fit into the node at all, its pinned residents staying;
3. what is missing comes from idle residents (eviction), and the price of a node is
   seconds of the load for each that waits + expected regret of what goes there;
4. equal prices: the node that has more room left, then by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scheduler.policy import context, eviction, packing
from scheduler.policy.eviction import NOBODY, Victims
from scheduler.policy.state import Model, Node, Profile
from scheduler.policy.view import View


@dataclass(frozen=True, slots=True)
class Option:
    """One way to load a model."""

    node: Node
    profile: Profile
    bytes: int
    victims: Victims
    load_s: float
    price_s: float


def options(view: View, model: Model, num_ctx: int, *, waiting: int = 1, busy: bool = False) -> list[Option]:
    """All ways to load `model` now, the cheapest first; with `busy`, ways that drain busy residents too."""
    right = right_digest(view, model)
    found: list[tuple[tuple[object, ...], Option]] = []
    for node in view.holders(model):
        if not view.may_load(node, model):
            continue
        option = on(view, node, model, num_ctx, waiting=waiting, busy=busy)
        if option is not None:
            wrong = model.digests[node.name] != right  # 1
            room = view.free(node) + option.victims.freed - option.bytes
            found.append(((wrong, option.price_s, -room, node.name), option))
    return [option for _, option in sorted(found, key=lambda pair: pair[0])]


def on(
    view: View,
    node: Node,
    model: Model,
    num_ctx: int,
    *,
    waiting: int = 1,
    busy: bool = False,
    horizons: tuple[float, ...] | None = None,
) -> Option | None:
    """How `model` would come onto `node`; None when it does not fit there now."""
    bytes_needed = need(view, node, model, num_ctx)
    short, surplus = bytes_needed - view.free(node), over_count(view, node)
    victims: Victims | None = NOBODY
    if short > 0 or surplus > 0:
        victims = eviction.choose(
            view, node, short, for_model=model.name, count=surplus, busy=busy, horizons=horizons
        )
    if victims is None:
        return None
    load_s = view.load_s(node, model)
    profile = context.profile(model, node, num_ctx)
    return Option(node, profile, bytes_needed, victims, load_s, max(waiting, 1) * load_s + victims.regret_s)


def in_place(view: View, node: Node, model: Model, num_ctx: int) -> Option | None:
    """A planned reload: `model` itself goes first; None when its room and others' is too little."""
    bytes_needed = need(view, node, model, num_ctx)
    own = packing.held(view.state.residents[node.name, model.name], view.config)
    short = bytes_needed - view.free(node) - own
    victims: Victims | None = NOBODY
    if short > 0:
        victims = eviction.choose(view, node, short, for_model=model.name, without=model.name)
    if victims is None:
        return None
    victims = Victims((model.name, *victims.models), victims.regret_s, victims.freed + own)
    load_s = view.load_s(node, model)
    return Option(node, context.profile(model, node, num_ctx), bytes_needed, victims, load_s, load_s)


def need(view: View, node: Node, model: Model, num_ctx: int) -> int:
    """Bytes that `model` needs on `node` at a context of `num_ctx` tokens, margin included."""
    profile = context.profile(model, node, num_ctx)
    digest = model.digests.get(node.name, "")
    return packing.need(model, digest, profile, view.state.stats, view.config)


def over_count(view: View, node: Node) -> int:
    """How many residents must go so that one more does not exceed OLLAMA_MAX_LOADED_MODELS."""
    return 0 if node.max_residents is None else len(view.on(node.name)) + 1 - node.max_residents


def right_digest(view: View, model: Model) -> str:
    """The digest that most nodes which answer have; of equally common ones the first by name."""
    counts = Counter(model.digests[node.name] for node in view.holders(model))
    return min(counts, key=lambda d: (-counts[d], d)) if counts else ""


def largest_context(view: View, model: Model) -> int:
    """The largest context that some node could hold, all but its pinned residents gone; 0: none."""
    best = 0
    for node in view.holders(model):
        room = capacity(view, node, model)
        for num_ctx in reversed(context.ladder(model, view.config)):
            if num_ctx <= best:
                break
            if need(view, node, model, num_ctx) <= room:
                best = num_ctx
                break
    return best


def capacity(view: View, node: Node, model: Model) -> int:
    """Bytes of a node that are not promised to pinned residents other than `model`."""
    pinned = view.pinned()
    held = sum(
        packing.held(r, view.config)
        for r in view.on(node.name)
        if r.model != model.name and (r.node, r.model) in pinned
    )
    total = node.vram_bytes
    if node.free_bytes is not None:  # other programs may use the GPU too
        total = min(total, node.free_bytes + sum(packing.held(r, view.config) for r in view.on(node.name)))
    return total - held

"""Placement: which node loads a model, and what goes there to make room.

Of the nodes that may be given the model now:
1. nodes with the right digest (the one most nodes have) before others;
2. the context that was asked for must fit into the node at all, its pinned residents staying;
3. what is missing comes from idle residents (eviction): as much as Ollama wants free to load beside those
   that stay, or all of them. The price of a node is
   seconds of the load for each that waits + expected regret of what goes there;
4. equal prices: the node that has more room left, then by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

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
    profile = context.profile(model, node, num_ctx)
    short, surplus = bytes_needed - view.free(node), over_count(view, node)
    beside, others = (
        packing.free_beside(model, profile, view.config) - view.free(node),
        len(view.on(node.name)),
    )
    choose = partial(eviction.choose, view, node, for_model=model.name, busy=busy, horizons=horizons)
    victims: Victims | None = NOBODY
    if others and max(short, beside, surplus) > 0:  # 3
        victims = choose(max(short, beside), count=surplus) or choose(short, count=others)
    elif short > 0:
        return None
    if victims is None:
        return None
    load_s = view.load_s(node, model)
    return Option(node, profile, bytes_needed, victims, load_s, max(waiting, 1) * load_s + victims.regret_s)


def in_place(view: View, node: Node, model: Model, num_ctx: int) -> Option | None:
    """A planned reload: `model` itself goes first; None when its room and others' is too little."""
    bytes_needed = need(view, node, model, num_ctx)
    own = packing.held(view.state.residents[node.name, model.name], view.config)
    free, others = view.free(node) + own, len(view.on(node.name)) - 1
    short = bytes_needed - free
    beside = packing.free_beside(model, context.profile(model, node, num_ctx), view.config) - free
    choose = partial(eviction.choose, view, node, for_model=model.name, without=model.name)
    victims: Victims | None = NOBODY
    if others and max(short, beside) > 0:
        victims = choose(max(short, beside)) or choose(short, count=others)
    elif short > 0:
        return None
    if victims is None:
        return None
    victims = Victims((model.name, *victims.models), victims.regret_s, victims.freed + own)
    load_s = view.load_s(node, model)
    return Option(node, context.profile(model, node, num_ctx), bytes_needed, victims, load_s, load_s)


def need(view: View, node: Node, model: Model, num_ctx: int) -> int:
    """Bytes that `model` needs on `node` at a context of `num_ctx` tokens, margin included.

    A model that may spill, at its usual context, needs the whole node at most.
    """
    profile = context.profile(model, node, num_ctx)
    digest = model.digests.get(node.name, "")
    bytes_needed = packing.need(model, digest, profile, view.state.stats, view.config)
    if model.may_spill and num_ctx <= context.usual(model):
        return min(bytes_needed, whole(view, node))
    return bytes_needed


def whole(view: View, node: Node) -> int:
    """Bytes that models may take on a node in all; less where other programs use its GPUs too."""
    if node.free_bytes is None:
        return node.vram_bytes
    return min(
        node.vram_bytes, node.free_bytes + sum(packing.held(r, view.config) for r in view.on(node.name))
    )


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
    return whole(view, node) - held

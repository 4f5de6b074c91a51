"""Whether all pins can be kept together: asked before a pinning policy is saved."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

from scheduler.models.catalog import CatalogModel, ModelOnNode
from scheduler.models.measurement import Measurement
from scheduler.models.node import Node
from scheduler.policy import packing
from scheduler.policy.config import DEFAULT
from scheduler.policy.pins import Policy, contradictions
from scheduler.policy.state import Footprint, Measured, Model, Profile, Stats

NO_BOUND = 2**62  # bytes, for a node whose VRAM nobody told


def contradictions_of(policy: Policy, others: Iterable[Policy]) -> list[str]:
    """What cannot be kept once `policy` is there beside the others, in sentences."""
    copies = list(
        ModelOnNode.objects.filter(node__enabled=True, model__enabled=True).select_related("node", "model")
    )
    others = [*others, *catalogue_policies()]
    needs, holders = _needs(copies, [policy, *others]), _holders(copies)
    budgets = {node.name: node.vram_total or NO_BOUND for node in Node.objects.enabled()}
    now = time.time()
    before = set(contradictions(others, needs, budgets, holders, now))
    with_it = contradictions([*others, policy], needs, budgets, holders, now)
    return [sentence for sentence in with_it if sentence not in before]


def catalogue_policies() -> list[Policy]:
    """Entries with min_replicas are pins as well."""
    return [
        Policy(name=f"the catalogue entry {model.name}", model=model.name, min_replicas=model.min_replicas)
        for model in CatalogModel.objects.enabled().filter(min_replicas__gt=0)
    ]


def _holders(copies: Iterable[ModelOnNode]) -> dict[str, set[str]]:
    holders: dict[str, set[str]] = defaultdict(set)
    for copy in copies:
        holders[copy.model.name].add(copy.node.name)
    return holders


def _needs(copies: Iterable[ModelOnNode], policies: list[Policy]) -> dict[str, int]:
    """Bytes by model, with its default context, on the node where it takes most."""
    needs: dict[str, int] = defaultdict(int)
    for copy in copies:
        if any(policy.names(copy.model.name) for policy in policies):
            needs[copy.model.name] = max(needs[copy.model.name], need(copy))
    return needs


def need(copy: ModelOnNode) -> int:
    """Bytes that the model takes on this node with its default context: as measured, else by the formula."""
    profile = Profile(
        num_ctx=copy.model.default_ctx, slots=copy.model.slots_on(copy.node), kv_type=copy.node.kv_type
    )
    model = Model(
        name=copy.model.name,
        digests={copy.node.name: copy.digest},
        weights_bytes=copy.size_bytes,
        shape=copy.shape,
    )
    return packing.need(model, copy.digest, profile, Stats(footprints=_measured(copy, profile)), DEFAULT)


def _measured(copy: ModelOnNode, profile: Profile) -> dict[Footprint, Measured]:
    sizes = Measurement.objects.filter(
        digest=copy.digest, num_ctx=profile.num_ctx, slots=profile.slots, kv_type=profile.kv_type
    ).values_list("size_bytes", flat=True)
    print_ = packing.footprint(copy.digest, profile)
    return {print_: Measured(bytes=max(sizes), error=0.0)} if sizes else {}

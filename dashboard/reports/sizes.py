"""How much VRAM each model of the catalogue takes, for replays and plans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from scheduler.models import CatalogModel, Measurement, ModelOnNode
from scheduler.policy import packing
from scheduler.policy.config import GB
from scheduler.policy.state import Model, Profile


def sizes_gb() -> dict[str, float]:
    """GB by model: 1. the most that was measured; 2. by the formula from /api/show with its usual context and
    slots; 3. its file. Models of which not even that is known are missing."""
    measured: dict[str, int] = defaultdict(int)
    for digest, size in Measurement.objects.values_list("digest", "size_bytes"):
        measured[digest] = max(measured[digest], size)
    models = CatalogModel.objects.prefetch_related("copies__node").order_by("name")
    found = {model.name: _bytes(model, model.copies.all(), measured) for model in models}
    return {name: round(size / GB, 3) for name, size in found.items() if size >= GB / 1000}


def _bytes(model: CatalogModel, copies: Iterable[ModelOnNode], measured: dict[str, int]) -> int:
    copies = list(copies)
    seen = max((measured.get(copy.digest, 0) for copy in copies), default=0)
    predicted = max((_predicted(model, copy) for copy in copies), default=0)
    return seen or predicted or model.size_bytes or 0  # 1, 2, 3


def _predicted(model: CatalogModel, copy: ModelOnNode) -> int:
    entry = Model(name=model.name, digests={}, weights_bytes=copy.size_bytes, shape=copy.shape)
    slots, kv_type = model.slots_on(copy.node), copy.node.kv_type
    return packing.predicted(entry, Profile(num_ctx=model.default_ctx, slots=slots, kv_type=kv_type))

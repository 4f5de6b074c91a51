"""How much memory a model takes on a node, how much Ollama believes it takes, and where it lands."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.simulator.config import GIB, MIB, NodeConfig
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.shapes import Shape

_KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_KV_BYTES_BEFORE_030 = {"f16": 2.0, "q8_0": 1.0, "q4_0": 0.5}
FIT_MARGIN = GIB  # llama.cpp's --fit keeps this free on each device
MINIMUM_FREE = 457 * MIB  # what Ollama's own runner left free
_BATCH_SURCHARGE = {1024: 768 * MIB, 2048: 2 * GIB}


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes that a runner needs."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Bytes of a runner as /api/ps tells them; they are equal when every layer is on the GPU."""

    size: int
    size_vram: int


def kv_element_bytes(config: NodeConfig) -> float:
    table = _KV_BYTES if config.generation.llama_server else _KV_BYTES_BEFORE_030
    return table[config.kv_type]


def kv_bytes_per_token(shape: Shape, config: NodeConfig) -> float:
    """Bytes that one more token of context costs, over the layers that see the whole context."""
    heads = sum(
        heads
        for layer, heads in enumerate(shape.kv_heads_per_layer)
        if not shape.window or (layer + 1) % shape.global_every == 0
    )
    return heads * 2 * shape.head_length * kv_element_bytes(config)


def _kv_bytes(shape: Shape, context: int, batch: int, slots: int, config: NodeConfig) -> int:
    """Windowed layers hold their window and one batch, others the context (reference, section 4.4)."""
    cells = 0
    for layer, heads in enumerate(shape.kv_heads_per_layer):
        windowed = shape.window and (layer + 1) % shape.global_every != 0
        cells += heads * (min(context, shape.window + batch) if windowed else context)
    return int(cells * 2 * shape.head_length * kv_element_bytes(config)) * slots


def footprint(
    model: InstalledModel, *, context: int, batch: int, slots: int, config: NodeConfig
) -> Footprint:
    """What the runner really allocates. The compute buffer is our figure: it grows with batch and width."""
    shape = model.shape
    return Footprint(
        weights=model.size,
        kv=_kv_bytes(shape, context, batch, slots, config),
        compute=64 * MIB + batch * shape.embedding * 64,
    )


def predicted(model: InstalledModel, *, context: int, slots: int) -> int:
    """Bytes as Ollama's PredictServerVRAM counts them since 0.30: f16, and no key_length."""
    shape = model.shape
    heads = max(1, min(shape.kv_heads_per_layer))
    width = shape.embedding // shape.heads
    return model.size + 2 * shape.blocks * heads * width * context * slots * 2


def batch_surcharge(batch: int) -> int:
    return _BATCH_SURCHARGE.get(batch, 0)


def automatic_batch(context: int, need: int, available: int) -> int:
    """num_batch when nobody sets it (since 0.30): larger contexts batch more, if there is headroom."""
    batch = 2048 if context > 32768 else 1024 if context > 4096 else 512
    while batch > 512 and available and not _batch_fits(batch, need, available):
        batch //= 2
    return batch


def _batch_fits(batch: int, need: int, available: int) -> bool:
    headroom = 0.60 if batch >= 2048 else 0.75
    return need <= available * headroom and need + batch_surcharge(batch) <= available * 0.8


def place(need: Footprint, model: InstalledModel, *, free: int, layers: int, config: NodeConfig) -> Placement:
    """Where the bytes land in `free` bytes of VRAM; `layers` on the GPU at most, -1 for all.

    What does not fit spills to host memory, layer by layer, after the compute buffer.
    """
    margin = FIT_MARGIN if config.generation.llama_server else MINIMUM_FREE
    every = model.shape.blocks + 1
    wanted = every if layers < 0 else min(layers, every)
    if config.vram == 0 or wanted == 0:
        return Placement(size=need.total, size_vram=0)
    if wanted == every and need.total + margin <= free:
        return Placement(size=need.total, size_vram=need.total)
    per_layer = (need.weights + need.kv) // every
    room = free - margin - need.compute
    on_gpu = max(0, min(wanted, room // per_layer))
    vram = need.compute + on_gpu * per_layer if on_gpu else 0
    return Placement(size=need.total, size_vram=vram)

"""Packing: how many bytes of VRAM a model needs, and how many a node has left.

Need of a (model, profile):
1. Measured before, for the same digest, context, slots and KV type: the largest seen, plus the spread seen.
2. Not measured: weights (with projector) + KV + recurrent state + compute buffer, plus 10 %.
   KV = elements per token x bytes of the type x context x slots; sliding-window layers hold the window
   and one batch instead of the context. Ollama's own estimate ignores most of this and is off by 37 % of
   the KV for some models, so nothing here relies on its eviction.

Whatever is free must also be enough for what Ollama believes (llm.PredictServerVRAM: file + 16-bit KV of all
layers), or it evicts a resident of its own choice when it loads beside others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scheduler.policy.config import GIB, MIB, Config
from scheduler.policy.shape import Shape
from scheduler.policy.state import Footprint, Measured, Model, Node, Profile, Resident, Stats

# Bytes per KV element (ggml's block sizes: a q8_0 block is 34 bytes for 32 elements, q4_0 18 for 32).
KV_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32}
KV_BYTES |= {"q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32}
VISION_BYTES = GIB  # Ollama keeps as much more free for the encoder's buffers


def footprint(digest: str, profile: Profile) -> Footprint:
    return Footprint(digest, profile.num_ctx, profile.slots, profile.kv_type)


def need(model: Model, digest: str, profile: Profile, stats: Stats, config: Config) -> int:
    """Bytes to keep free before loading, margin included."""
    measured = stats.footprints.get(footprint(digest, profile))
    if measured is not None:  # 1
        return int(measured.bytes * (1 + max(measured.error, config.margin_floor))) + spare(config)
    return int(predicted(model, profile) * (1 + config.margin)) + spare(config)  # 2


def spare(config: Config) -> int:
    """What a load needs free beyond the model: llama.cpp's fit target, of which its own context is a part."""
    return max(config.runner_bytes, config.fit_bytes)


def free_beside(model: Model, profile: Profile, config: Config) -> int:
    """Bytes that must be free for Ollama to load the model beside others without evicting one of them."""
    elements = model.shape.kv_full + model.shape.kv_window if model.shape else 0
    believed = model.weights_bytes + 2 * elements * profile.num_ctx * profile.slots
    return int(believed / config.beside)


def predicted(model: Model, profile: Profile) -> int:
    """Bytes by the formula, without margin: what `/api/ps` should report as size_vram."""
    if model.shape is None:
        return model.weights_bytes
    return model.weights_bytes + kv_bytes(model.shape, profile) + buffer_bytes(model.shape, profile)


def kv_bytes(shape: Shape, profile: Profile) -> int:
    """KV cache and recurrent state of all slots."""
    of_one = KV_BYTES.get(profile.kv_type, 2.0)
    windowed = min(profile.num_ctx, shape.window + batch(profile)) if shape.window else 0
    elements = shape.kv_full * profile.num_ctx + shape.kv_window * windowed
    return profile.slots * (int(elements * of_one) + shape.state_bytes)


def batch(profile: Profile) -> int:
    """Tokens per batch: as set, or Ollama's own choice by total context."""
    if profile.num_batch is not None:
        return profile.num_batch
    total = profile.num_ctx * profile.slots
    return 2048 if total > 32768 else 1024 if total > 4096 else 512


def buffer_bytes(shape: Shape, profile: Profile) -> int:
    """Compute buffer: logits and the widest activations of one batch, 32-bit; a floor for small models."""
    widest = shape.vocabulary + 2 * shape.embedding + 2 * shape.feed_forward
    graph = 4 * batch(profile) * widest
    return max(graph, 128 * MIB) + (VISION_BYTES if shape.vision else 0)


def observe(before: Measured | None, model: Model, profile: Profile, size_bytes: int) -> Measured:
    """What is known of a footprint after a node reported its size."""
    if before is None:
        return Measured(bytes=size_bytes, error=0.0)
    largest = max(before.bytes, size_bytes)
    spread = abs(size_bytes - before.bytes) / max(largest, 1)
    return replace(before, bytes=largest, error=max(before.error * 0.9, spread), samples=before.samples + 1)


def held(resident: Resident, config: Config) -> int:
    """Bytes that a resident takes from its node, with the runner's own."""
    return resident.bytes + config.runner_bytes


def free(node: Node, residents: Iterable[Resident], config: Config) -> int:
    """Bytes that may still be given: the budget less what is held, and never more than was measured free."""
    left = node.vram_bytes
    for resident in residents:
        left -= resident.bytes + config.runner_bytes
    if node.busy_with is not None:
        left -= node.busy_with.bytes
    return left if node.free_bytes is None else min(left, node.free_bytes)

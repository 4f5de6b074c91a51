"""The shape of a model, read from `/api/show`'s model_info: what its KV cache and buffers are made of.

1. Heads per layer: `attention.head_count_kv` is a number, or an array with one entry per layer (0: the layer
   keeps no KV, as in hybrid models). Arrays are null unless `/api/show` is asked with `verbose`.
2. Key and value length default to embedding_length / head_count; Qwen3, Gemma and others set their own.
3. MLA models converted for it (`attention.key_length_mla`) cache one latent vector per layer and token.
4. Sliding-window layers keep only the window. Which layers those are is known per family; a family that is
   not known is counted in full, which is too much rather than too little.
5. Recurrent layers keep a fixed 32-bit state per slot, whatever the context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# One layer of so many sees the whole context; the others see the window (llama.cpp's hyperparameters).
GLOBAL_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gptoss": 2, "gpt-oss": 2, "cohere2": 4, "llama4": 4}
# One layer of so many has attention at all; the others are recurrent. Other hybrids say it per layer.
ATTENTION_EVERY = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
UNKNOWN_VOCABULARY = 152_064  # Qwen's, among the largest: without verbose the size is often missing


class NeedsVerbose(ValueError):
    """Per-layer arrays are null; ask `/api/show` again with `verbose`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What VRAM beyond the weights depends on. KV is counted in elements per token, summed over layers."""

    kv_full: int  # of layers that keep the whole context
    kv_window: int = 0  # of layers that keep a window
    window: int = 0  # tokens
    state_bytes: int = 0  # per slot, of recurrent layers
    embedding: int = 4096
    feed_forward: int = 14336
    vocabulary: int = UNKNOWN_VOCABULARY
    vision: bool = False
    trained_ctx: int | None = None  # tokens


def read(info: Mapping[str, object], *, vision: bool = False) -> Shape:
    """The shape that model_info describes. Raises NeedsVerbose; KeyError without architecture."""
    field = _Fields(info)
    layers = field.number("block_count")
    heads = _per_layer(field, "attention.head_count", layers, default=1)
    kv_heads = _kv_heads(field, layers, heads)
    width = _kv_width(field, max(heads))
    windowed = _windowed(field, layers)
    return Shape(
        kv_full=sum(h * width for h, w in zip(kv_heads, windowed, strict=True) if not w),
        kv_window=sum(h * width for h, w in zip(kv_heads, windowed, strict=True) if w),
        window=field.number("attention.sliding_window") if any(windowed) else 0,
        state_bytes=_state_bytes(field) * sum(1 for h in kv_heads if h == 0),
        embedding=field.number("embedding_length"),
        feed_forward=max(_per_layer(field, "feed_forward_length", layers, default=0)),
        vocabulary=field.number("vocab_size") or UNKNOWN_VOCABULARY,
        vision=vision,
        trained_ctx=field.number("context_length") or None,
    )


class _Fields:
    """model_info without the architecture's prefix; a missing number is 0."""

    def __init__(self, info: Mapping[str, object]) -> None:
        self.info = info
        self.architecture = str(info["general.architecture"])

    def value(self, name: str) -> object:
        key = f"{self.architecture}.{name}"
        if key in self.info and self.info[key] is None:
            raise NeedsVerbose(f"{key} is null; ask /api/show with verbose")
        return self.info.get(key)

    def number(self, name: str) -> int:
        value = self.value(name)
        return int(value) if isinstance(value, (int, float)) else 0


def _per_layer(field: _Fields, name: str, layers: int, default: int) -> list[int]:
    value = field.value(name)
    if isinstance(value, (list, tuple)):
        if len(value) == 0 < layers:
            raise NeedsVerbose(f"{name} is empty; ask /api/show with verbose")
        return [int(v) for v in value[:layers]] + [int(value[-1])] * max(layers - len(value), 0)
    return [int(value) if isinstance(value, (int, float)) else default] * max(layers, 1)


def _kv_heads(field: _Fields, layers: int, heads: list[int]) -> list[int]:
    """KV heads by layer: 1 for MLA (3), 0 for recurrent layers (1)."""
    if field.number("attention.key_length_mla"):
        return [1] * len(heads)
    kv = _per_layer(field, "attention.head_count_kv", layers, default=0)
    if not any(kv):
        kv = heads  # older files name none: every head has its own
    if every := field.number("full_attention_interval") or ATTENTION_EVERY.get(field.architecture, 0):
        kv = [h if (layer + 1) % every == 0 else 0 for layer, h in enumerate(kv)]
    return kv


def _kv_width(field: _Fields, heads: int) -> int:
    """Elements that one KV head keeps per token: key and value (2), or the one latent vector (3)."""
    if field.number("attention.key_length_mla"):
        return field.number("attention.kv_lora_rank") + field.number("rope.dimension_count")
    usual = field.number("embedding_length") // max(heads, 1)
    key = field.number("attention.key_length") or usual
    return key + (field.number("attention.value_length") or usual)


def _windowed(field: _Fields, layers: int) -> list[bool]:
    """By layer, whether it keeps only a window (4)."""
    pattern = field.value("attention.sliding_window_pattern")
    if not field.number("attention.sliding_window"):
        return [False] * max(layers, 1)
    if isinstance(pattern, (list, tuple)) and len(pattern) >= layers:
        return [bool(p) for p in pattern[:layers]]
    every = GLOBAL_EVERY.get(field.architecture, 1)
    return [(layer + 1) % every != 0 for layer in range(max(layers, 1))]


def _state_bytes(field: _Fields) -> int:
    """The 32-bit state of one recurrent layer and slot (5): convolution tail and SSM state."""
    inner, state = field.number("ssm.inner_size"), field.number("ssm.state_size")
    tail = max(field.number("ssm.conv_kernel") - 1, 0)
    groups = field.number("ssm.group_count")
    short = field.number("shortconv.l_cache") * field.number("embedding_length")
    return 4 * (tail * (inner + 2 * groups * state) + inner * state + short)

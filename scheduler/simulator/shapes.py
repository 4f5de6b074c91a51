"""The shape of a model's network, as GGUF metadata states it, for well-known families and by size."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the KV cache and /api/show are computed from. Lengths are in elements, context in tokens."""

    architecture: str
    blocks: int
    embedding: int
    heads: int
    kv_heads: int | tuple[int, ...]
    head_length: int
    feed_forward: int
    context: int  # trained maximum
    vocabulary: int = 128256
    window: int = 0  # tokens of a sliding-window layer; 0 is none
    global_every: int = 1  # each n-th layer sees the whole context

    @property
    def kv_heads_per_layer(self) -> tuple[int, ...]:
        if isinstance(self.kv_heads, int):
            return (self.kv_heads,) * self.blocks
        return self.kv_heads


def _shape(blocks: int, embedding: int, heads: int, kv_heads: int, head_length: int, ff: int) -> Shape:
    return Shape(
        architecture="llama",
        blocks=blocks,
        embedding=embedding,
        heads=heads,
        kv_heads=kv_heads,
        head_length=head_length,
        feed_forward=ff,
        context=131072,
    )


# By weight file at 4 to 5 bits a weight: (up to bytes, parameter size, shape of a Llama of that size).
_BY_SIZE: tuple[tuple[float, str, Shape], ...] = (
    (0.4e9, "137M", _shape(12, 768, 12, 12, 64, 3072)),
    (1.5e9, "1.2B", _shape(16, 2048, 32, 8, 64, 8192)),
    (3.5e9, "3.2B", _shape(28, 3072, 24, 8, 128, 8192)),
    (7.5e9, "8.0B", _shape(32, 4096, 32, 8, 128, 14336)),
    (14e9, "14.8B", _shape(40, 5120, 40, 8, 128, 17408)),
    (26e9, "32.8B", _shape(64, 5120, 64, 8, 128, 25600)),
    (60e9, "70.6B", _shape(80, 8192, 64, 8, 128, 28672)),
    (float("inf"), "405.0B", _shape(126, 16384, 128, 8, 128, 53248)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is known of a model by the first letters of its name."""

    architecture: str
    capabilities: tuple[str, ...] = ("completion", "tools")
    context: int = 131072
    window: int = 0
    global_every: int = 1
    per_layer_heads: bool = False  # head_count_kv is an array, null in /api/show without verbose


_THINKS = ("completion", "tools", "thinking")
_EMBEDS = ("embedding",)
# Longest prefix wins. Capabilities and trained contexts as the public library lists them.
_FAMILIES: dict[str, Family] = {
    "": Family(architecture="llama"),
    "llama3.2-vision": Family(architecture="mllama", capabilities=("completion", "vision")),
    "llava": Family(architecture="llama", capabilities=("completion", "vision"), context=32768),
    "qwen2.5": Family(architecture="qwen2", context=32768),
    "qwen2.5vl": Family(architecture="qwen25vl", capabilities=("completion", "vision"), context=128000),
    "qwen2.5-coder": Family(
        architecture="qwen2", capabilities=("completion", "tools", "insert"), context=32768
    ),
    "qwen3": Family(architecture="qwen3", capabilities=_THINKS, context=40960),
    "deepseek-r1": Family(architecture="qwen2", capabilities=_THINKS),
    "deepseek-v2": Family(architecture="deepseek2", capabilities=("completion",), context=163840),
    "gpt-oss": Family(architecture="gptoss", capabilities=_THINKS, window=128, global_every=2),
    "gemma3": Family(
        architecture="gemma3", capabilities=("completion", "vision"), window=1024, global_every=6
    ),
    "mistral": Family(architecture="llama", context=32768),
    "codellama": Family(architecture="llama", capabilities=("completion", "insert"), context=16384),
    "lfm2": Family(architecture="lfm2", context=128000, per_layer_heads=True),
    "nomic-embed-text": Family(architecture="nomic-bert", capabilities=_EMBEDS, context=2048),
    "mxbai-embed": Family(architecture="bert", capabilities=_EMBEDS, context=512),
    "all-minilm": Family(architecture="bert", capabilities=_EMBEDS, context=512),
    "bge-": Family(architecture="bert", capabilities=_EMBEDS, context=8192),
    "snowflake-arctic-embed": Family(architecture="bert", capabilities=_EMBEDS, context=512),
    "embeddinggemma": Family(architecture="gemma3", capabilities=_EMBEDS, context=2048),
    "qwen3-embedding": Family(architecture="qwen3", capabilities=_EMBEDS, context=40960),
}


def family_of(name: str) -> Family:
    return _FAMILIES[max((prefix for prefix in _FAMILIES if name.startswith(prefix)), key=len)]


def shape_of(family: Family, size: int) -> tuple[str, Shape]:
    """The parameter size ("8.0B") and the shape that a weight file of `size` bytes suggests."""
    parameters, shape = next((label, shape) for limit, label, shape in _BY_SIZE if size <= limit)
    heads: int | tuple[int, ...] = shape.kv_heads
    if family.per_layer_heads:
        heads = tuple(8 if layer % 3 == 2 else 0 for layer in range(shape.blocks))
    return parameters, replace(
        shape,
        architecture=family.architecture,
        context=family.context,
        window=family.window,
        global_every=family.global_every,
        kv_heads=heads,
    )

"""KV bytes per token from `/api/show`, for shapes whose answer is known."""

from __future__ import annotations

import pytest

from scheduler.policy import packing, shape
from scheduler.policy.config import GIB
from scheduler.policy.state import Profile

KIB = 1024


def info(architecture: str, **fields: object) -> dict[str, object]:
    names = {f"{architecture}.{key.replace('__', '.')}": value for key, value in fields.items()}
    return {"general.architecture": architecture, **names}


LLAMA_8B = info(
    "llama",
    block_count=32,
    context_length=131072,
    embedding_length=4096,
    feed_forward_length=14336,
    attention__head_count=32,
    attention__head_count_kv=8,
    vocab_size=128256,
)


def kv(of: dict[str, object], num_ctx: int, **profile: object) -> int:
    return packing.kv_bytes(shape.read(of), Profile(num_ctx=num_ctx, **profile))  # type: ignore[arg-type]


def test_llama_3_1_8b_takes_128_kib_a_token() -> None:
    assert kv(LLAMA_8B, 1) == 128 * KIB
    assert kv(LLAMA_8B, 8192) == GIB
    assert kv(LLAMA_8B, 131072) == 16 * GIB


def test_slots_multiply_and_a_quantised_cache_divides() -> None:
    assert kv(LLAMA_8B, 8192, slots=4) == 4 * GIB
    assert kv(LLAMA_8B, 8192, kv_type="q8_0") == GIB * 34 // 64
    assert kv(LLAMA_8B, 8192, kv_type="q4_0") == GIB * 18 // 64


def test_key_and_value_length_of_their_own_count() -> None:
    qwen3_8b = info(
        "qwen3",
        block_count=36,
        embedding_length=4096,
        attention__head_count=32,
        attention__head_count_kv=8,
        attention__key_length=128,
        attention__value_length=128,
    )
    assert kv(qwen3_8b, 1) == 144 * KIB
    qwen3_32b = info(
        "qwen3",
        block_count=64,
        embedding_length=5120,
        attention__head_count=64,
        attention__head_count_kv=8,
        attention__key_length=128,
        attention__value_length=128,
    )
    as_ollama_counts = 64 * 8 * 2 * (5120 // 64) * 2
    assert kv(qwen3_32b, 1) == pytest.approx(as_ollama_counts * 1.6)  # 37.5 % of it is missing there


def test_sliding_window_layers_hold_the_window_and_one_batch() -> None:
    gemma3 = info(
        "gemma3",
        block_count=12,
        embedding_length=2560,
        attention__head_count=8,
        attention__head_count_kv=4,
        attention__key_length=256,
        attention__value_length=256,
        attention__sliding_window=1024,
    )
    per_layer = 4 * 512 * 2
    assert kv(gemma3, 32768, num_batch=512) == per_layer * (2 * 32768 + 10 * (1024 + 512))
    assert kv(gemma3, 512, num_batch=512) == per_layer * 12 * 512  # the context is shorter than the window


def test_a_family_whose_windows_are_not_known_is_counted_in_full() -> None:
    unknown = {k.replace("llama", "novel"): v for k, v in LLAMA_8B.items()}
    unknown |= {"general.architecture": "novel", "novel.attention.sliding_window": 4096}
    assert kv(unknown, 8192) == kv(LLAMA_8B, 8192)


def test_layers_without_kv_heads_hold_a_state_instead() -> None:
    hybrid = info(
        "nemotron_h",
        block_count=4,
        embedding_length=1024,
        attention__head_count=[16, 16, 16, 16],
        attention__head_count_kv=[0, 0, 0, 8],
        ssm__inner_size=2048,
        ssm__state_size=128,
        ssm__conv_kernel=4,
        ssm__group_count=8,
    )
    state = 3 * 4 * (3 * (2048 + 2 * 8 * 128) + 2048 * 128)
    assert kv(hybrid, 1000) == 8 * 128 * 2 * 1000 + state
    assert kv(hybrid, 2000, slots=2) == 2 * (8 * 128 * 2 * 2000 + state)


def test_every_fourth_layer_of_qwen3next_has_attention() -> None:
    hybrid = info(
        "qwen3next",
        block_count=8,
        embedding_length=2048,
        attention__head_count=16,
        attention__head_count_kv=2,
        attention__key_length=256,
        attention__value_length=256,
    )
    assert kv(hybrid, 100) == 2 * 2 * 512 * 2 * 100


def test_mla_caches_one_latent_vector_for_each_layer() -> None:
    mla = info(
        "deepseek2",
        block_count=10,
        embedding_length=5120,
        attention__head_count=128,
        attention__head_count_kv=1,
        attention__key_length_mla=192,
        attention__kv_lora_rank=512,
        rope__dimension_count=64,
    )
    assert kv(mla, 100) == 10 * (512 + 64) * 2 * 100


@pytest.mark.parametrize("value", [None, []])
def test_arrays_that_were_left_out_ask_for_verbose(value: object) -> None:
    with pytest.raises(shape.NeedsVerbose):
        shape.read({**LLAMA_8B, "llama.attention.head_count_kv": value})


def test_a_file_without_an_architecture_is_an_error() -> None:
    with pytest.raises(KeyError):
        shape.read({"general.parameter_count": 1})

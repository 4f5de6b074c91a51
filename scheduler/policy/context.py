"""Context: few fixed sizes per model, sticky, so that clients that alternate cause no reload.

Which context a load gets:
1. the smallest bucket that holds what the line asks for, and never less than the model's usual one;
2. a resident that grows by a planned reload never becomes smaller by it;
3. nothing above the trained context. What asks for more is refused with the numbers.

There is no tokenizer behind Ollama's API, so the tokens of a prompt are estimated: bytes times the learned
tokens per byte, plus a margin that covers 95 of 100 prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.policy.config import Config
from scheduler.policy.state import Model, Node, Profile

USUAL_TOKENS_PER_BYTE = 1 / 3.0  # English text and code lie near 1/4; rather too many than too few
EWMA = 0.05  # weight of the newest prompt
P95 = 1.65  # standard deviations above the mean that cover 95 of 100 where errors are normal
LEAST_SPREAD = 0.05  # of the ratio: even a well-known model meets new kinds of text


def ladder(model: Model, config: Config) -> list[int]:
    """The contexts that a model may be loaded with, ascending."""
    top = model.trained_ctx
    sizes = {*(model.buckets or config.buckets), usual(model)}
    if top is not None:
        sizes = {s for s in sizes if s <= top} | ({top} if max(sizes) >= top or not model.buckets else set())
    return sorted(sizes)


def usual(model: Model) -> int:
    """Tokens that a model is loaded with when nobody asks for more."""
    return model.num_ctx if model.trained_ctx is None else min(model.num_ctx, model.trained_ctx)


def bucket(model: Model, asked: int, config: Config) -> int:
    """The smallest context of the ladder that holds `asked` tokens; its top where none does (1, 3)."""
    least = usual(model)
    if asked <= least:
        return least
    sizes = ladder(model, config)
    return next((size for size in sizes if size >= asked), sizes[-1])


def profile(model: Model, node: Node, num_ctx: int) -> Profile:
    """The profile of a model on a node at a context of `num_ctx` tokens."""
    slots = node.slots if model.max_slots is None else min(node.slots, model.max_slots)
    return Profile(
        num_ctx=num_ctx,
        slots=slots,
        kv_type=node.kv_type,
        num_batch=model.num_batch,
        shift=model.shift,
        options=model.options,
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Tokens per byte of a model's prompts: moving mean and variance, and how many prompts made them."""

    mean: float = USUAL_TOKENS_PER_BYTE
    variance: float = 0.0
    samples: int = 0


def learn(ratio: Ratio, prompt_bytes: int, tokens: int) -> Ratio:
    """The ratio after a prompt of `prompt_bytes` turned out to be `tokens` (prompt_eval_count)."""
    if prompt_bytes <= 0 or tokens <= 0:
        return ratio
    seen = tokens / prompt_bytes
    if ratio.samples == 0:
        return Ratio(seen, (seen * LEAST_SPREAD) ** 2, 1)
    weight = max(EWMA, 1 / (ratio.samples + 1))
    step = seen - ratio.mean
    return replace(
        ratio,
        mean=ratio.mean + weight * step,
        variance=(1 - weight) * (ratio.variance + weight * step * step),
        samples=ratio.samples + 1,
    )


def estimate(ratio: Ratio, prompt_bytes: int) -> int:
    """Tokens that a prompt will hardly exceed."""
    spread = max(ratio.variance**0.5, LEAST_SPREAD * ratio.mean)
    return int(prompt_bytes * (ratio.mean + P95 * spread)) + 1

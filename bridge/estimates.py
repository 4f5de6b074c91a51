"""How many tokens a prompt has, before a node counts them, and what context a request therefore needs."""

from __future__ import annotations

from bridge.catalogue import Entry
from bridge.dialects.inner import Inner
from bridge.errors import BadInput
from scheduler.policy import context
from scheduler.policy.context import Ratio

IMAGE_TOKENS = 768  # what Ollama counts for an image when it truncates (server/prompt.go)
OUTPUT_ROOM = 1024  # tokens kept free for an answer whose length the client left open
MOST_OUTPUT_ROOM = 4096  # apps send a max_tokens of 32,000 by habit: only this much of it asks for context
LEAST_RATIO = (
    0.1  # fewer tokens per byte than any tokenizer makes: the node left cached ones out (before 0.30)
)
SURE_RATIO = 1 / 6  # tokens per byte that even sparse text has: below it nothing is refused unlearned
SURE_SHARE = 0.8  # of the learned ratio: the same for a model that is known
MOST_MODELS = 2000


class Estimates:
    """Tokens per byte, learned for each model from what nodes counted. Belongs to one process."""

    def __init__(self) -> None:
        self._ratios: dict[str, Ratio] = {}

    def tokens(self, model: str, inner: Inner) -> int:
        """Tokens that the prompt will hardly exceed."""
        ratio = self._ratios.get(model, Ratio())
        return context.estimate(ratio, inner.prompt_bytes) + inner.images * IMAGE_TOKENS

    def surely(self, model: str, inner: Inner) -> int:
        """Tokens that the prompt has at the very least."""
        ratio = self._ratios.get(model)
        return int(inner.prompt_bytes * (ratio.mean * SURE_SHARE if ratio else SURE_RATIO))

    def learn(self, model: str, prompt_bytes: int, tokens: int) -> None:
        """A node counted `tokens` for a prompt of so many bytes."""
        if tokens < prompt_bytes * LEAST_RATIO:
            return
        if model not in self._ratios and len(self._ratios) >= MOST_MODELS:
            self._ratios.clear()
        self._ratios[model] = context.learn(self._ratios.get(model, Ratio()), prompt_bytes, tokens)


def context_needed(inner: Inner, entry: Entry, prompt_tokens: int, surely: int) -> int:
    """The least context, in tokens, that the request's resident must have.

    1. Embeddings: what the client asks for; nodes cut longer texts as they always did.
    2. A prompt that cannot fit even the model's largest context is refused with the numbers (BadInput).
    3. What the client asks for, and never less than its prompt with room for an answer.
    4. Never more than the model was trained for.
    """
    most = entry.num_ctx_max
    asked = inner.num_ctx or 0
    if inner.route in ("embed", "embeddings"):
        return min(asked, most or asked)
    if most is not None and surely > most:
        raise BadInput(
            f"The prompt has at least {surely} tokens, and '{entry.listed}' takes at most {most}. "
            "Send less text, or use a model with a larger context.",
            kind="context_length_exceeded",
            code="context_length_exceeded",
        )
    room = min(inner.max_tokens or OUTPUT_ROOM, MOST_OUTPUT_ROOM)
    needed = max(asked, prompt_tokens + room)
    return min(needed, most or needed)

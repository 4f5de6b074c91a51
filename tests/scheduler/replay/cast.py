"""Traces made by hand: one line per request."""

from __future__ import annotations

from scheduler.replay.trace import Trace


def trace(rows: list[tuple[float, str, str]], sizes: dict[str, float], *, output: int = 100) -> Trace:
    """Rows of (time, key, model); every request has no prompt and `output` tokens."""
    keys = sorted({key for _, key, _ in rows})
    models = list(sizes)
    return Trace(
        times=[at for at, _, _ in rows],
        keys=[keys.index(key) for _, key, _ in rows],
        models=[models.index(model) for _, _, model in rows],
        prompt_tokens=[0] * len(rows),
        output_tokens=[output] * len(rows),
        key_names=keys,
        model_names=models,
        sizes_gb=list(sizes.values()),
    )

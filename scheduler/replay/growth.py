"""A trace with more, or fewer, of the same kind of users: what planning for next year needs.

Whole keys are added or left out, never gaps compressed: each user goes on at a user's pace. An added key does
what one of the trace does, half an hour earlier or later at most, so that the day keeps its shape.
"""

from __future__ import annotations

import math
from random import Random

from scheduler.replay.trace import BadTrace, Trace, in_order

SHIFT_S = 1800.0
MOST_GROWTH = 100.0
MOST_REQUESTS = 3_000_000


def grown(trace: Trace, factor: float, seed: int = 0) -> Trace:
    """`factor` times the users; drawn by the seed where it is no whole number. Raises BadTrace."""
    if not 0 < factor <= MOST_GROWTH:
        raise BadTrace(f"The traffic can grow to at most {MOST_GROWTH:g} times, and must stay above 0.")
    if len(trace) * factor > MOST_REQUESTS:
        raise BadTrace(f"{factor:g} times {len(trace):,} requests are more than {MOST_REQUESTS:,}.")
    random = Random(seed)  # noqa: S311
    more = Trace(model_names=trace.model_names, sizes_gb=trace.sizes_gb)
    for copy in range(math.ceil(factor)):
        share = min(factor - copy, 1.0)
        chosen = [key for key in range(len(trace.key_names)) if share == 1.0 or random.random() < share]
        _add(more, trace, copy, {k: random.uniform(-SHIFT_S, SHIFT_S) if copy else 0.0 for k in chosen})
    if not more.times:
        raise BadTrace(f"At {factor:g} times the traffic nobody is left; take more of it.")
    return in_order(more)


def _add(more: Trace, trace: Trace, copy: int, keys: dict[int, float]) -> None:
    """The requests of some keys once more, each key's shifted as one; at the ends time goes round."""
    first = trace.times[0]
    span_s = max(trace.times[-1] - first, 1e-9)
    names: dict[int, int] = {}
    for i, key in enumerate(trace.keys):
        if key not in keys:
            continue
        if key not in names:
            names[key] = len(more.key_names)
            more.key_names.append(f"{trace.key_names[key]}+{copy}" if copy else trace.key_names[key])
        at = trace.times[i]
        more.times.append(first + (at + keys[key] - first) % span_s if copy else at)
        more.keys.append(names[key])
        more.models.append(trace.models[i])
        more.prompt_tokens.append(trace.prompt_tokens[i])
        more.output_tokens.append(trace.output_tokens[i])

"""Whether the predictor's chances come true: what was said, and how often somebody came.

After every `every`-th arrival of the second half of a trace the chance of each model is noted, and whether
a request for it came within the horizon. Rows of a reliability table are bins of the chance; the Brier score
(G. W. Brier, Monthly Weather Review 78, 1950) is the mean squared error, to be compared with that of always
saying the share that came.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from scheduler.policy.prediction import Predictor
from scheduler.replay.trace import Trace

EDGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bin: chances from `least` to `most`."""

    least: float
    most: float
    count: int
    said: float  # mean chance
    came: float  # share that came


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The table of one horizon on one workload."""

    rows: tuple[Row, ...]
    brier: float
    base: float  # Brier score of always saying the share that came


def said_and_came(trace: Trace, horizon_s: float, steps: int, *, every: int = 5) -> list[tuple[float, bool]]:
    """(chance, whether somebody came) for each model at each moment looked at."""
    predictor = Predictor()
    uses: dict[str, list[float]] = {name: [] for name in trace.model_names}
    for model, at in zip(trace.models, trace.times, strict=True):
        uses[trace.model_names[model]].append(at)
    pairs: list[tuple[float, bool]] = []
    for i, at in enumerate(trace.times):
        predictor.observe(at, trace.key_names[trace.keys[i]], trace.model_names[trace.models[i]])
        if i >= len(trace) // 2 and i % every == 0 and at + horizon_s <= trace.times[-1]:
            for name, chance in predictor.chances(at, horizon_s, steps).items():
                after = bisect_right(uses[name], at)
                pairs.append((chance, after < len(uses[name]) and uses[name][after] <= at + horizon_s))
    return pairs


def reliability(pairs: list[tuple[float, bool]]) -> Reliability:
    """The table of these pairs. Raises ValueError when there are none."""
    if not pairs:
        raise ValueError("nothing was predicted")
    rows, least = [], 0.0
    for most in EDGES:
        inside = [(p, came) for p, came in pairs if least <= p < most]
        if inside:
            count = len(inside)
            said, came = sum(p for p, _ in inside) / count, sum(c for _, c in inside) / count
            rows.append(Row(least=least, most=min(most, 1.0), count=count, said=said, came=came))
        least = most
    share = sum(came for _, came in pairs) / len(pairs)
    brier = sum((p - came) ** 2 for p, came in pairs) / len(pairs)
    return Reliability(rows=tuple(rows), brier=brier, base=share * (1 - share))

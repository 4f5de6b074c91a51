"""The original write-up's predictor: what followed the current model among everybody's last 50 requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

from scheduler.policy.hints import Hint

WINDOW = 50
LEAST_REQUESTS = 10  # in the window, before anything is predicted


class WindowMarkov:
    """One chain for all keys over a sliding window; answers for the request after the latest one."""

    def __init__(self, window: int = WINDOW) -> None:
        self.recent: deque[str] = deque(maxlen=window)

    def observe(self, at: float, key: str, model: str, said: Sequence[Hint] = (), session: str = "") -> None:
        self.recent.append(model)

    def following(self, key: str, session: str = "") -> dict[str, float]:
        return self.chances(0.0, 0.0, 1)

    def chances(self, now: float, horizon_s: float, steps: int) -> dict[str, float]:
        """The share of each model among those that followed the current one in the window."""
        if len(self.recent) < LEAST_REQUESTS:
            return {}
        recent = list(self.recent)
        after = Counter(b for a, b in pairwise(recent) if a == recent[-1])
        return {model: count / after.total() for model, count in after.items()}

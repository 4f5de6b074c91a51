"""What a node saw, for tests and reports: counters, peaks and bounded logs."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

KEPT = 2000  # entries of each log
Entry = dict[str, object]


def _log() -> deque[Entry]:
    return deque(maxlen=KEPT)


@dataclass(slots=True)
class Seen:
    """Counters never shrink; logs keep the last entries. `at` and `seconds` are the node's seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    peak_in_flight: dict[str, int] = field(default_factory=dict)  # generations at once, by model
    peak_waiting: dict[str, int] = field(default_factory=dict)  # requests before a runner's slots, by model
    peak_pending: int = 0  # requests in the scheduler's queue
    loads: deque[Entry] = field(default_factory=_log)
    reloads: deque[Entry] = field(default_factory=_log)
    evictions: deque[Entry] = field(default_factory=_log)
    unloads: deque[Entry] = field(default_factory=_log)
    aborted_loads: deque[Entry] = field(default_factory=_log)

    def note(self, log: str, **entry: object) -> None:
        self.counts[log] += 1
        getattr(self, log).append(entry)

    def raise_peak(self, peaks: dict[str, int], model: str, value: int) -> None:
        if value > peaks.get(model, 0):
            peaks[model] = value

    def report(self) -> dict[str, object]:
        """Everything as JSON types; `*_total` count also what the logs no longer hold."""
        logs = ("loads", "reloads", "evictions", "unloads", "aborted_loads")
        plain = ("requests", "started", "completed", "answered", "refused", "cancelled", "revived", "oom")
        return {
            **{name: self.counts[name] for name in plain},
            **{f"cancelled_{phase}": self.counts[f"cancelled_{phase}"] for phase in _PHASES},
            **{f"{name}_total": self.counts[name] for name in logs},
            **{name: list(getattr(self, name)) for name in logs},
            "peak_in_flight": self.peak_in_flight,
            "peak_waiting": self.peak_waiting,
            "peak_pending": self.peak_pending,
        }


_PHASES = ("queued", "loading", "waiting", "running")

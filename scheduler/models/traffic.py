"""What requests there were, as told by whoever keeps their records: the bridge, which is another room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.policy.prediction import Arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that a resident answered, and what reading its prompt took there."""

    at: float  # Unix seconds of its arrival
    prompt_tokens: int
    cached_tokens: int  # 0 also where the node does not say
    prompt_eval_s: float


class Records(Protocol):
    """Queries, for threads. They raise what the database raises."""

    def arrivals(self, since: float, most: int) -> Iterator[Arrival]:
        """The newest requests since then, at most so many, in order of time."""

    def answered(self, node: str, model: str, since: float, most: int) -> Sequence[Answered]:
        """The first requests that a resident answered since then, in order of time."""


_records: Records | None = None


def kept_by(records: Records) -> None:
    """Called once, when the process is set up."""
    global _records
    _records = records


def records() -> Records | None:
    """None where nobody keeps any."""
    return _records

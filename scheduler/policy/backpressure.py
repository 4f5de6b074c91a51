"""When a line takes nobody more, and when to come back: the arithmetic of queue bounds and drain rates.

1. A line, and all lines together, have a bound. Fullness is the larger of the two shares.
2. Full: everybody is refused. Over 80 %: priority 0; over 90 %: priority 1 too; 2 and above until it is full.
3. The drain rate is what the line really did: seats given per second, measured only while somebody waited
   (an idle line drains nothing and says nothing), forgotten exponentially over MEMORY_S of waiting.
4. Retry-After is the time in which those who wait now get their seats at that rate, 1 to 60 seconds.
5. A predicted wait is given when it was measured or published, else it is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

SHED_FROM = 0.8  # share of the bound above which the lowest priority is refused
SHED_STEP = 0.1  # and each class above it, so much later
MEMORY_S = 60.0  # seconds of waiting over which the drain rate forgets
LEAST_SEATS = 2.0  # fewer seats than this are no measurement
LEAST_S = 1.0  # nor is less waiting than this
RETRY_MAX_S = 60
RETRY_UNMEASURED_S = 10  # a header must carry a number; nothing is promised by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What a line did while somebody waited, both figures forgotten at the same pace (3)."""

    seats: float = 0.0
    seconds: float = 0.0
    at: float = 0.0  # Unix seconds up to which the figures count

    def resume(self, now: float) -> Drain:
        """The line was empty until now."""
        return Drain(seats=self.seats, seconds=self.seconds, at=now)

    def until(self, now: float) -> Drain:
        """Somebody waited until now, and nobody got a seat."""
        keep = math.exp(-max(0.0, now - self.at) / MEMORY_S)
        seconds = self.seconds * keep + MEMORY_S * (1.0 - keep)
        return Drain(seats=self.seats * keep, seconds=seconds, at=max(self.at, now))

    def gave(self, now: float) -> Drain:
        """A seat was given to the line now."""
        drain = self.until(now)
        return Drain(seats=drain.seats + 1.0, seconds=drain.seconds, at=drain.at)

    def rate(self) -> float | None:
        """Seats per second; None while too little was seen."""
        if self.seats < LEAST_SEATS or self.seconds < LEAST_S:
            return None
        return self.seats / self.seconds


def crowding(
    *, waiting: int, waiting_total: int, queue_model: int, queue_total: int, priority: int
) -> Literal["queue_full", "queue_shed"] | None:
    """Why a ticket of this priority may not join, before it joined; None when it may (1, 2)."""
    fullness = max(waiting / max(queue_model, 1), waiting_total / max(queue_total, 1))
    if fullness >= 1.0:
        return "queue_full"
    if fullness > SHED_FROM + SHED_STEP * priority:
        return "queue_shed"
    return None


def retry_after(waiting: int, rate: float | None, load_s: float | None) -> int:
    """Seconds after which those who wait now have their seats (4). `load_s`: left of a load."""
    if rate:
        return clamp(max(waiting, 1) / rate + (load_s or 0.0))
    return clamp(load_s) if load_s else RETRY_UNMEASURED_S


def clamp(seconds: float) -> int:
    """Whole seconds for a Retry-After header; a millionth more is a rounding of floats, not a second."""
    return int(min(max(math.ceil(seconds - 1e-6), 1), RETRY_MAX_S))


def predicted_wait(
    position: int, rate: float | None, load_s: float | None, *, resident: bool
) -> float | None:
    """Seconds until the ticket at `position` is seated (5). `load_s`: left of a load."""
    if resident:
        return position / rate if rate else None
    if load_s is None:
        return None
    if position == 1:
        return load_s
    return load_s + (position - 1) / rate if rate else None

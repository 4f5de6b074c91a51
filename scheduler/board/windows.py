"""Requests and tokens per minute: a sliding window counter made of two one-minute buckets.

used = bucket of this minute + bucket of the last minute * the share of it that lies within 60 seconds.

Two numbers per limit, and an estimate that is exact for an even flow (Cloudflare, "How we built rate limiting
capable of scaling to millions of domains", 2017). The generic cell rate algorithm (ITU-T I.371) needs one
number less, but tokens are reserved first and settled later: a refund must go back to the minute in which it
was charged, and the one number of a cell rate cannot tell how much of a charge has drained since.
"""

from __future__ import annotations

MINUTE_S = 60.0
TOLERANCE = 1e-6  # of one request or token: a wait that was promised must do, whatever floats round to


class Window:
    """What one key used of one limit in this minute and the last."""

    __slots__ = ("current", "minute", "previous")

    def __init__(self) -> None:
        self.minute = 0  # whole minutes since 1970 of `current`
        self.current = 0
        self.previous = 0

    def roll(self, now: float) -> None:
        """Let the buckets follow the clock; a clock that steps back keeps them."""
        minute = int(now // MINUTE_S)
        if minute > self.minute:
            self.previous = self.current if minute == self.minute + 1 else 0
            self.current = 0
            self.minute = minute

    def used(self, now: float) -> float:
        """What counts against the limit; `roll` comes first."""
        if not self.previous:
            return self.current
        return self.current + self.previous * (1.0 - elapsed_share(self.minute, now))

    def charge(self, amount: int) -> None:
        """Count it in the minute of the last `roll`."""
        self.current += amount

    def correct(self, minute: int, amount: int) -> None:
        """Add to (or take from) the minute in which something was charged, while it still counts."""
        if minute == self.minute:
            self.current = max(0, self.current + amount)
        elif minute == self.minute - 1:
            self.previous = max(0, self.previous + amount)

    def empty(self, now: float) -> bool:
        """Whether nothing of it counts any more."""
        return int(now // MINUTE_S) > self.minute + 1

    def reset_s(self, now: float) -> float:
        """Seconds until nothing counts any more."""
        left = MINUTE_S * (1.0 - elapsed_share(self.minute, now))
        if self.current:
            return left + MINUTE_S
        return left if self.previous else 0.0

    def fits_in_s(self, now: float, amount: int, limit: int) -> float | None:
        """Seconds until `amount` fits under `limit` if nothing else comes; None: it never does."""
        if amount > limit:
            return None
        share = elapsed_share(self.minute, now)
        room = limit - amount - self.current
        if room >= 0:  # it waits for the last minute to slide out
            return max(0.0, decay_share(room, self.previous) - share) * MINUTE_S
        return (1.0 - share + decay_share(limit - amount, self.current)) * MINUTE_S


def elapsed_share(minute: int, now: float) -> float:
    """How much of `minute` is over, 0 to 1."""
    return min(max((now - minute * MINUTE_S) / MINUTE_S, 0.0), 1.0)


def decay_share(room: int, bucket: int) -> float:
    """The share of the next minute after which no more than `room` of `bucket` counts."""
    return 0.0 if bucket <= room else 1.0 - room / bucket

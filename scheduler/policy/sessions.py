"""Session starts: requests of a key that is new or was silent, by model, and by hour of the week."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log2

from scheduler.policy.gaps import Gaps, chance

START_PRIOR = 1.0  # gaps that those of all models count for
HOUR_PRIOR = 2.0  # weeks after which the hour of the week counts as much as the gaps
FADE = 0.85  # what a week counts against the one after it
WEEK_S = 7 * 86_400.0


@dataclass(slots=True)
class Starts:
    """Session starts of one model."""

    last_at: float
    gaps: Gaps = field(default_factory=Gaps)
    hours: dict[int, tuple[float, int]] = field(default_factory=dict)  # of the week: starts, fading; week
    answers: dict[float, tuple[float, float]] = field(default_factory=dict)

    def chance(self, now: float, horizon_s: float, shared: Gaps, weeks: float) -> float:
        """Probability that a session starts with this model within the horizon. Kept for a while."""
        until, answer = self.answers.get(horizon_s, (0.0, 0.0))
        if now >= until:
            elapsed, stays_s = rounded(now - self.last_at)
            answer = chance(((self.gaps, 0.0), (shared, START_PRIOR)), elapsed, horizon_s)
            if weeks >= 1:
                answer += (self.in_this_hour(now, horizon_s, weeks) - answer) * weeks / (weeks + HOUR_PRIOR)
            self.answers[horizon_s] = (min(self.last_at + stays_s, now + 60.0), answer)
        return answer

    def in_this_hour(self, now: float, horizon_s: float, weeks: float) -> float:
        """As `chance`, from how many sessions started in this hour of the week before."""
        at = now + horizon_s / 2
        count, week = self.hours.get(hour_of_week(at), (0.0, 0))
        count *= FADE ** (week_of(at) - week)
        seen = (1.0 - FADE**weeks) / (1.0 - FADE)  # weeks, faded like the count
        return 1.0 - exp(-count / seen * horizon_s / 3600.0)

    def note_hour(self, at: float) -> None:
        hour, week = hour_of_week(at), week_of(at)
        count, last = self.hours.get(hour, (0.0, week))
        self.hours[hour] = (count * FADE ** (week - last) + 1.0, week)


def hour_of_week(at: float) -> int:
    """0 to 167, in UTC; weeks begin on a Thursday, as Unix time does."""
    return int(at // 3600) % 168


def week_of(at: float) -> int:
    return int(at // WEEK_S)


def rounded(elapsed_s: float) -> tuple[float, float]:
    """The middle of the quarter octave that an elapsed time lies in, and its end: hazards move no faster."""
    if elapsed_s < 1:
        return 0.5, 1.0
    start = 2.0 ** (int(4 * log2(elapsed_s)) / 4)
    return start * 1.09, start * 1.19

"""When a budget's period begins and ends: the calendar's days and months in UTC, or all time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

Period = Literal["day", "month", "total"]

FOREVER = 253_370_764_800.0  # Unix seconds of the year 9999: an end that every store can hold


def running(period: Period, now: float) -> tuple[float, float]:
    """Start and end, in Unix seconds, of the period that `now` (Unix seconds) lies in; the end is outside."""
    if period == "total":
        return 0.0, FOREVER
    start = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return start.timestamp(), (start + timedelta(days=1)).timestamp()
    start = start.replace(day=1)
    end = (start + timedelta(days=31)).replace(day=1)
    return start.timestamp(), end.timestamp()

"""Weekly windows of a pinning policy: `{"days": ["mon", "tue"], "from": "08:00", "to": "18:00"}`.

A window whose end is not after its start ends on the next day. Times are wall clock in the policy's zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
MINUTES_A_DAY = 24 * 60


class BadWindow(ValueError):
    """A window cannot be read; the message says why."""


def check(windows: object) -> None:
    """Raises BadWindow unless this is a list of windows."""
    if not isinstance(windows, list):
        raise BadWindow("Windows are a list; an empty one means always.")
    for window in windows:
        _check_one(window)


def _check_one(window: object) -> None:
    if not isinstance(window, dict) or set(window) != {"days", "from", "to"}:
        raise BadWindow('A window is {"days": ["mon", …], "from": "08:00", "to": "18:00"}.')
    days = window["days"]
    if not isinstance(days, list) or not days or not set(map(str, days)) <= set(DAYS):
        raise BadWindow(f"Days are a list of {', '.join(DAYS)}.")
    for side in ("from", "to"):
        if not isinstance(window[side], str) or not CLOCK.fullmatch(window[side]):
            raise BadWindow(f"{side!r} is a time from 00:00 to 24:00, such as 08:30.")
    if window["from"] == window["to"]:
        raise BadWindow("A window that starts when it ends says nothing; use 00:00 to 24:00 for a whole day.")


def covers(windows: Sequence[Mapping[str, Any]], at: datetime) -> bool:
    """Whether one of the windows holds at this local time; no windows: always."""
    return not windows or any(_covers(window, at) for window in windows)


def _covers(window: Mapping[str, Any], at: datetime) -> bool:
    start, end = _minutes(window["from"]), _minutes(window["to"])
    now = at.hour * 60 + at.minute
    today, yesterday = DAYS[at.weekday()], DAYS[at.weekday() - 1]
    if start < end:
        return today in window["days"] and start <= now < end
    return (today in window["days"] and now >= start) or (yesterday in window["days"] and now < end)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)

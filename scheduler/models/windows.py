"""Weekly windows of a pinning policy: `{"days": ["mon", "tue"], "from": "08:00", "to": "18:00"}`.

A window whose end is not after its start ends on the next day. Times are wall clock in the policy's zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.policy.pins import MINUTES_A_DAY, MINUTES_A_WEEK, Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
LINE = re.compile(r"([a-z,\s-]+?)\s+(\d\d:\d\d)\s*-\s*(\d\d:\d\d)")


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


def from_lines(text: str) -> list[dict[str, Any]]:
    """Windows from lines such as `mon-fri 08:00-18:00` and `sat,sun 22:00-06:00`. Raises BadWindow."""
    windows = [_window(line.strip().lower()) for line in text.splitlines() if line.strip()]
    check(windows)
    return windows


def _window(line: str) -> dict[str, Any]:
    found = LINE.fullmatch(line)
    if found is None:
        raise BadWindow(f"{line!r} is no window; write mon-fri 08:00-18:00.")
    days = [day for part in found[1].replace(" ", "").split(",") for day in _days(part)]
    return {"days": sorted(set(days), key=DAYS.index), "from": found[2], "to": found[3]}


def _days(part: str) -> list[str]:
    """`fri-mon` goes over the weekend."""
    first, _, last = part.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise BadWindow(f"{part!r} is no day; days are {', '.join(DAYS)}.")
    start, length = DAYS.index(first), (DAYS.index(last or first) - DAYS.index(first)) % len(DAYS)
    return [DAYS[(start + step) % len(DAYS)] for step in range(length + 1)]


def as_lines(windows: Sequence[Mapping[str, Any]]) -> str:
    """The same windows as lines."""
    return "\n".join(f"{_named(window['days'])} {window['from']}-{window['to']}" for window in windows)


def _named(days: Sequence[str]) -> str:
    """`mon-fri` for three days or more in a row, else each by name."""
    numbers = sorted(DAYS.index(day) for day in days)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{DAYS[numbers[0]]}-{DAYS[numbers[-1]]}"
    return ",".join(DAYS[number] for number in numbers)


def minutes(windows: Sequence[Mapping[str, Any]]) -> tuple[Window, ...]:
    """The stretches of the week that they mean, one for each day named."""
    return tuple(
        _stretch(DAYS.index(day), _minute(window["from"]), _minute(window["to"]))
        for window in windows
        for day in window["days"]
    )


def _stretch(day: int, start: int, end: int) -> Window:
    length = end - start if start < end else end - start + MINUTES_A_DAY
    begins = day * MINUTES_A_DAY + start
    return Window(start=begins % MINUTES_A_WEEK, end=(begins + length) % MINUTES_A_WEEK)


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)

"""Go's durations and time stamps, as Ollama reads and writes them."""

from __future__ import annotations

import math
import re
import time

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
FOREVER_S = (2**63 - 1) / 1e9  # the longest duration of Go, about 292 years


class BadDuration(ValueError):
    """The text is not a duration; the message is Go's."""


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as 1h30m, -1m or 0. Raises BadDuration."""
    sign, rest = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest:
        raise BadDuration(f'time: invalid duration "{text}"')
    total, position = 0.0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise BadDuration(_complaint(text, rest[position:]))
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return sign * total


def _complaint(text: str, rest: str) -> str:
    if re.fullmatch(r"\d+\.?\d*|\.\d+", rest):
        return f'time: missing unit in duration "{text}"'
    if unit := re.match(r"(?:\d+\.?\d*|\.\d+)([^\d.]+)", rest):
        return f'time: unknown unit "{unit[1]}" in duration "{text}"'
    return f'time: invalid duration "{text}"'


def keep_alive_seconds(value: object) -> float | None:
    """A request's keep_alive: None is not given, infinite is for ever. Raises BadDuration."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadDuration(f"Unsupported type: '{_GO_TYPES.get(type(value), 'map[string]interface {}')}'")
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    return math.inf if seconds < 0 else seconds


_GO_TYPES = {bool: "bool", list: "[]interface {}"}


def environment_keep_alive(text: str) -> float:
    """OLLAMA_KEEP_ALIVE: a Go duration or whole seconds; negative is for ever. Raises BadDuration."""
    seconds = float(text) if re.fullmatch(r"-?\d+", text) else parse_duration(text)
    return math.inf if seconds < 0 else seconds


_second: tuple[int, str] = (-1, "")


def stamp(nanoseconds: int) -> str:
    """UTC in RFC 3339 with Go's nanoseconds (trailing zeros cut), from nanoseconds since the epoch."""
    global _second
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    if _second[0] != seconds:
        _second = seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return (
        f"{_second[1]}.{rest:09d}".rstrip("0").rstrip(".") + "Z"
        if rest % 10 == 0
        else f"{_second[1]}.{rest:09d}Z"
    )


def stamp_now() -> str:
    return stamp(time.time_ns())

"""keep_alive as Ollama reads it: seconds, or a duration in Go's notation."""

from __future__ import annotations

import re

from bridge.dialects import fields
from bridge.dialects.inner import BadRequest

# https://pkg.go.dev/time#ParseDuration
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+)")
_LONGEST = 40  # characters; keeps the match and the sum cheap


def seconds(text: str) -> float:
    """'1h30m' as seconds, infinity when negative. Raises ValueError."""
    if len(text) > _LONGEST or not _WHOLE.fullmatch(text):
        raise ValueError(f"not a duration: {text[:_LONGEST]}")
    total = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    return float("inf") if total and text.startswith("-") else total


def keep_alive(body: fields.Object) -> float | None:
    """Seconds that the client wants the model kept; infinity for "for ever"."""
    value = body.get("keep_alive")
    if value is None:
        return None
    if type(value) in (int, float):
        return float("inf") if value < 0 else float(value)
    takes = 'keep_alive takes seconds (300) or a duration ("5m", "-1m" for ever)'
    if not isinstance(value, str):
        raise BadRequest(f"{takes}, not {fields.kind(value)}", param="keep_alive")
    try:
        return seconds(value)
    except ValueError:
        raise BadRequest(
            f'time: invalid duration "{value[:_LONGEST]}"; {takes}', param="keep_alive"
        ) from None

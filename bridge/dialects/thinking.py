"""How much a model may think before it answers."""

from __future__ import annotations

from bridge.dialects import fields
from bridge.dialects.inner import BadRequest

Think = bool | str

LEVELS = ("low", "medium", "high", "max")

# Ollama's own table (openai/openai.go, thinkFromReasoningEffort): what lies beyond its scale goes to its end.
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


def native(body: fields.Object) -> Think | None:
    """The field `think`."""
    value = body.get("think")
    if value is None or isinstance(value, bool) or value in LEVELS:
        return value
    if isinstance(value, str):
        raise BadRequest(
            f'invalid think value: "{value[:40]}" (must be "high", "medium", "low", "max", true, or false)',
            param="think",
        )
    raise fields.refuse("think", 'a boolean or "high", "medium", "low" or "max"', value)


def from_effort(effort: str | None, where: str) -> Think | None:
    """An OpenAI reasoning effort; the model's own default where it is missing or empty."""
    if not effort:
        return None
    try:
        return _EFFORTS[effort]
    except KeyError:
        known = ", ".join(f'"{name}"' for name in _EFFORTS)
        raise BadRequest(f'{where} is "{effort[:40]}"; it takes one of {known}', param=where) from None

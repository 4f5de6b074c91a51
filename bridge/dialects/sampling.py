"""How OpenAI's and Anthropic's fields steer generation, in a node's options."""

from __future__ import annotations

from typing import Any

from bridge.dialects import durations, fields, options
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Inner

_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "min_p", "repeat_penalty")
_INTEGERS = ("seed", "top_k")


def read(body: Object, *, limits: tuple[str, ...], stop: str = "stop") -> dict[str, Any]:
    """Inner's fields max_tokens, num_ctx and keep_alive_s, and `options` for its body.

    `limits` names the fields that bound the output, first one wins. What the client leaves out stays out:
    the model's own defaults hold. Ollama's `options` and `keep_alive` work too, behind the dialect's fields.
    """
    asked = options.read(body)
    steer = dict(asked.sampling)
    for key in _NUMBERS:
        if (value := fields.number(body, key)) is not None:
            steer[key] = value
    for key in _INTEGERS:
        if (whole := fields.integer(body, key)) is not None:
            steer[key] = whole
    if stops := _stops(body, stop):
        steer["stop"] = stops
    max_tokens = asked.max_tokens
    if (limit := _limit(body, limits)) is not None:
        steer["num_predict"] = limit
        max_tokens = limit if limit > 0 else None
    return {
        "options": steer,
        "max_tokens": max_tokens,
        "num_ctx": asked.num_ctx,
        "keep_alive_s": durations.keep_alive(body),
    }


def inner(body: Object, native: Object, *, limits: tuple[str, ...], stop: str = "stop", **more: Any) -> Inner:
    """An Inner whose body is `native` with the options that `body` asks for."""
    asked = read(body, limits=limits, stop=stop)
    if steer := asked.pop("options"):
        native["options"] = steer
    stream = bool(fields.boolean(body, "stream"))
    if more["route"] in ("chat", "generate"):
        native["stream"] = stream
    return Inner(model=fields.model(body), stream=stream, body=native, **asked, **more)


def _limit(body: Object, names: tuple[str, ...]) -> int | None:
    for name in names:
        limit = fields.integer(body, name)
        if limit is None:
            continue
        if limit < -1:
            raise BadRequest(f"{name} must be a positive number of tokens", param=name)
        return options.bounded(limit)  # -1 is how some clients say "no bound", and a node too
    return None


def _stops(body: Object, name: str) -> list[str]:
    value = body.get(name)
    return [value] if isinstance(value, str) else fields.strings(body, name) or []

"""The `options` of a native request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from bridge.dialects import fields
from bridge.dialects.inner import BadRequest

# api/types.go: a call that changes one of these makes a node reload the model.
RUNNER = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"}
)
_INTEGERS = (RUNNER - {"use_mmap"}) | {"num_keep", "seed", "num_predict", "top_k", "repeat_last_n"}
_FLOATS = frozenset(
    {
        "top_p",
        "min_p",
        "typical_p",
        "temperature",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a client asked for, sorted by who decides it."""

    sampling: dict[str, Any]  # for the node as they are
    max_tokens: int | None  # None: no bound given
    num_ctx: int | None


def read(body: fields.Object) -> Options:
    """Checks types with Ollama's texts, and takes out the runner's options, which the profile decides.

    A node answers a wrong type with status 500; it is the client's mistake, so here it is 400.
    """
    given = fields.mapping(body, "options") or {}
    sampling = {}
    for key, value in given.items():
        if value is None:
            continue
        _check(key, value)
        if key not in RUNNER:
            sampling[key] = value
    if "num_predict" in sampling:
        sampling["num_predict"] = bounded(int(sampling["num_predict"]))
    num_ctx = int(given.get("num_ctx") or 0)
    predict = sampling.get("num_predict", 0)
    return Options(
        sampling=sampling,
        max_tokens=predict if predict > 0 else None,
        num_ctx=num_ctx if num_ctx > 0 else None,
    )


def bounded(num_predict: int) -> int:
    """Zero as one: a node takes zero for "no bound" and generates until its context is full."""
    return num_predict or 1


def _check(key: str, value: object) -> None:
    if key in _INTEGERS:
        if not _is_number(value) or not -(2.0**63) <= value < 2.0**63:
            raise _wrong(key, "of type integer")
    elif key in _FLOATS:
        if not _is_number(value):
            raise _wrong(key, "of type float32")
    elif key == "use_mmap":
        if not isinstance(value, bool):
            raise _wrong(key, "of type boolean")
    elif key == "stop":
        if not isinstance(value, list):
            raise _wrong(key, "of type array")
        if not all(isinstance(item, str) for item in value):
            raise _wrong(key, "of an array of strings")


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def _wrong(key: str, takes: str) -> BadRequest:
    return BadRequest(f'option "{key}" must be {takes}', param=f"options.{key}")

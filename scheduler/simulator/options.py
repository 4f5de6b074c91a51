"""The `options` map of a native request, checked as Ollama checks it."""

from __future__ import annotations

from collections.abc import Mapping

_INTEGERS = frozenset(
    (
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "num_thread",
        "draft_num_predict",
        "num_keep",
        "seed",
        "num_predict",
        "top_k",
        "repeat_last_n",
    )
)
_FLOATS = frozenset(
    (
        "top_p",
        "min_p",
        "typical_p",
        "temperature",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
    )
)


class WrongOption(ValueError):
    """An option has a value of the wrong type; the message is Ollama's, its status is 500."""


def check_options(given: Mapping[str, object]) -> dict[str, object]:
    """The known options with the right types: nulls and unknown names are ignored. Raises WrongOption."""
    known: dict[str, object] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in _INTEGERS:
            known[name] = _integer(name, value)
        elif name in _FLOATS:
            known[name] = _float(name, value)
        elif name == "use_mmap":
            known[name] = _boolean(name, value)
        elif name == "stop":
            known[name] = _strings(name, value)
    return known


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongOption(f'option "{name}" must be of type integer')
    return int(value)


def _float(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongOption(f'option "{name}" must be of type float32')
    return float(value)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongOption(f'option "{name}" must be of type boolean')
    return value


def _strings(name: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise WrongOption(f'option "{name}" must be of type array')
    if not all(isinstance(item, str) for item in value):
        raise WrongOption(f'option "{name}" must be of an array of strings')
    return value

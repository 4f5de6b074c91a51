"""Reading request bodies as Go's encoding/json does: unknown fields pass, wrong types are 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

Body = dict[str, Any]


class BadRequest(Exception):
    """The request cannot be served; carries the status and Ollama's text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
# Field -> (Go's name of its type, the JSON types it takes). `any` fields are not listed.
FieldTypes = Mapping[str, tuple[str, tuple[type, ...]]]
_STRING = ("string", (str,))
_BOOL = ("bool", (bool,))
_MAP = ("map[string]interface {}", (dict,))
INFERENCE: FieldTypes = {
    "model": _STRING,
    "name": _STRING,
    "prompt": _STRING,
    "suffix": _STRING,
    "system": _STRING,
    "template": _STRING,
    "raw": _BOOL,
    "stream": _BOOL,
    "truncate": _BOOL,
    "shift": _BOOL,
    "logprobs": _BOOL,
    "verbose": _BOOL,
    "top_logprobs": ("int", (int,)),
    "dimensions": ("int", (int,)),
    "options": _MAP,
    "messages": ("[]api.Message", (list,)),
    "tools": ("api.Tools", (list,)),
    "images": ("[]api.ImageData", (list,)),
    "source": _STRING,
    "destination": _STRING,
    "from": _STRING,
}


def decode(data: bytes, struct: str, types: FieldTypes = INFERENCE) -> Body:
    """The body as a mapping whose known fields have the right types; nulls are left out.

    Raises BadRequest with the words of Go's decoder; `struct` is the name it would give.
    """
    if not data.strip():
        raise BadRequest(400, "missing request body")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(400, _syntax_complaint(data, error.pos)) from None
    if not isinstance(body, dict):
        kind = _KINDS.get(type(body), "null")
        raise BadRequest(400, f"json: cannot unmarshal {kind} into Go value of type api.{struct}")
    clean = {name: value for name, value in body.items() if value is not None}
    for name, value in clean.items():
        expected = types.get(name)
        if expected is not None and (type(value) not in expected[1]):
            kind = _KINDS[type(value)]
            raise BadRequest(
                400,
                f"json: cannot unmarshal {kind} into Go struct field {struct}.{name} of type {expected[0]}",
            )
    return clean


def _syntax_complaint(data: bytes, position: int) -> str:
    text = data.decode("utf-8", "replace")
    if position >= len(text.rstrip()):
        return "unexpected EOF"
    return f"invalid character {text[position]!r} looking for beginning of value"

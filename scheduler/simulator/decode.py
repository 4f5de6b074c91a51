"""Reading request bodies as Go's encoding/json does: unknown fields pass, wrong types are 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from scheduler.simulator.exchange import JSON, PLAIN_JSON
from scheduler.simulator.goerrors import first_value

Body = dict[str, Any]


class BadRequest(Exception):
    """The request cannot be served; carries the status and Ollama's text."""

    content_type = JSON

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class LateRefusal(BadRequest):
    """Found by the runner, after the answer's headers were chosen: no charset, sent in chunks."""

    content_type = PLAIN_JSON


_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
# Field -> (Go's name of its type, the JSON types it takes). `any` fields are not listed.
FieldTypes = Mapping[str, tuple[str, tuple[type, ...]]]
_STRING = ("string", (str,))
_BOOL = ("bool", (bool,))
_MAP = ("map[string]interface {}", (dict,))
MESSAGE: FieldTypes = {"role": _STRING, "content": _STRING, "thinking": _STRING, "tool_name": _STRING}
TOOL: FieldTypes = {"type": _STRING, "function": ("api.ToolFunction", (dict,))}
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
    body = _parsed(data)
    if body is None:
        return {}
    if not isinstance(body, dict):
        kind = _KINDS[type(body)]
        raise BadRequest(400, f"json: cannot unmarshal {kind} into Go value of type api.{struct}")
    clean = {name: value for name, value in body.items() if value is not None}
    for name, value in clean.items():
        expected = types.get(name)
        if expected is not None and (type(value) not in expected[1]):
            raise BadRequest(400, _mismatch(value, f"{struct}.{name}", expected[0]))
    return clean


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return first_value(data)
    except ValueError as error:
        raise BadRequest(400, str(error)) from None


def check_fields(value: object, where: str, element: str, types: FieldTypes) -> dict[str, Any]:
    """One element of a list of structs, its fields checked like those of a body."""
    if not isinstance(value, dict):
        raise BadRequest(400, _mismatch(value, where, element))
    for name, expected in types.items():
        if value.get(name) is not None and type(value[name]) not in expected[1]:
            raise BadRequest(400, _mismatch(value[name], f"{where}.{name}", expected[0]))
    return value


def _mismatch(value: object, where: str, go_type: str) -> str:
    kind = _KINDS.get(type(value), "null")
    return f"json: cannot unmarshal {kind} into Go struct field {where} of type {go_type}"

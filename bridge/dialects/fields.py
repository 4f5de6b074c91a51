"""Typed reading of a parsed request: each refusal names the field and says what it takes.

A JSON null is the same as a missing field, as it is for a node.
"""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects.inner import BadRequest

Object = dict[str, Any]

_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def parse(payload: bytes) -> Object:
    """The request body as a JSON object."""
    if not payload.strip():
        raise BadRequest("missing request body")
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the request body is not valid JSON: {error.msg} at byte {error.pos}") from None
    if not isinstance(body, dict):
        raise BadRequest(f"the request body must be a JSON object, not {kind(body)}")
    return body


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "null")


def refuse(where: str, takes: str, value: object) -> BadRequest:
    """The refusal of a value of a wrong type; `takes` says what would be right."""
    return BadRequest(f"{where} must be {takes}, not {kind(value)}", param=where)


def string(of: Object, key: str, where: str = "") -> str | None:
    """A string or None. `where` is the path before the key, for the message."""
    value = of.get(key)
    if value is None or isinstance(value, str):
        return value
    raise refuse(where + key, "a string", value)


def boolean(of: Object, key: str, where: str = "") -> bool | None:
    """A boolean or None."""
    value = of.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise refuse(where + key, "a boolean", value)


def number(of: Object, key: str, where: str = "") -> float | None:
    """A number or None; JSON has no infinity."""
    value = of.get(key)
    if value is None or type(value) in (int, float):
        return value
    raise refuse(where + key, "a number", value)


def integer(of: Object, key: str, where: str = "") -> int | None:
    """A whole number that a signed 64-bit integer holds; 5.0 counts as 5."""
    value = number(of, key, where)
    if value is None:
        return None
    if value != int(value) or not -(2**63) <= value < 2**63:
        raise BadRequest(f"{where}{key} must be a whole number of at most 64 bits", param=where + key)
    return int(value)


def mapping(of: Object, key: str, where: str = "") -> Object | None:
    """An object or None."""
    value = of.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise refuse(where + key, "an object", value)


def array(of: Object, key: str, where: str = "") -> list[Any] | None:
    """An array or None."""
    value = of.get(key)
    if value is None or isinstance(value, list):
        return value
    raise refuse(where + key, "an array", value)


def strings(of: Object, key: str, where: str = "") -> list[str] | None:
    """An array of strings or None."""
    values = array(of, key, where)
    for at, value in enumerate(values or ()):
        if not isinstance(value, str):
            raise refuse(f"{where}{key}[{at}]", "a string", value)
    return values


def mappings(of: Object, key: str, where: str = "") -> list[Object] | None:
    """An array of objects or None."""
    values = array(of, key, where)
    for at, value in enumerate(values or ()):
        if not isinstance(value, dict):
            raise refuse(f"{where}{key}[{at}]", "an object", value)
    return values


def required(value: str | None, where: str) -> str:
    """The value, which may be neither missing nor empty."""
    if not value:
        raise BadRequest(f"{where} is required", param=where)
    return value


def model(body: Object) -> str:
    """The model's name as the client wrote it."""
    return required((string(body, "model") or "").strip(), "model")

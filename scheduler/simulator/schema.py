"""A minimal instance of a JSON Schema: what the fake model answers where a schema binds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEPTH = 12  # deeper schemas, recursive ones too, end in null


def instance(schema: object, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The smallest value that validates against the usual keywords of `schema`."""
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    root = schema if root is None else root
    if isinstance(reference := schema.get("$ref"), str):
        return instance(_resolve(reference, root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return instance(schema[keyword][0], root, depth + 1)
    return _by_type(_type_of(schema), schema, root, depth)


def _type_of(schema: Mapping[str, Any]) -> object:
    stated = schema.get("type")
    if isinstance(stated, list):
        return next((kind for kind in stated if kind != "null"), "null")
    return stated or ("object" if "properties" in schema else "string")


def _by_type(kind: object, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        item = instance(schema.get("items", {}), root, depth + 1)
        return [item] * max(0, int(schema.get("minItems", 0)))
    if kind in ("integer", "number"):
        return _number(schema, int if kind == "integer" else float)
    if kind == "string":
        return "word".ljust(int(schema.get("minLength", 0)), "d")[: int(schema.get("maxLength", 10**6))]
    return True if kind == "boolean" else None


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = schema.get("required", list(properties))
    return {name: instance(properties.get(name, {}), root, depth + 1) for name in names}


def _number(schema: Mapping[str, Any], kind: type[int] | type[float]) -> float:
    if "minimum" in schema:
        return kind(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return kind(schema["exclusiveMinimum"]) + 1
    return kind(min(1, schema.get("maximum", 1)))


def _resolve(reference: str, root: Mapping[str, Any]) -> object:
    found: object = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found

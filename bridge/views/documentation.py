"""/docs and /openapi.json: the API described, with this bridge's own address in each example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from bridge.env import VALUES as ENV
from bridge.env import public_url

TEXT = (Path(__file__).resolve().parents[1] / "openapi.json").read_bytes()
DOCUMENT: dict[str, Any] = json.loads(TEXT)
KEY = "$OLLAMA_BRIDGE_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    takes: str  # its types, in words
    required: bool
    description: SafeString


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    description: SafeString
    scope: str | None  # None: open to anyone
    fields: tuple[Field, ...]
    curl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    description: SafeString
    operations: tuple[Operation, ...]


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The document, open to anyone: it holds nothing of this installation."""
    return HttpResponse(TEXT, content_type="application/json")


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The same for people."""
    url = address(request)
    return render(request, "bridge/documentation.html", {"url": url, "key": KEY, "groups": groups(url)})


def address(request: HttpRequest) -> str:
    """How this reader reaches the bridge: BRIDGE_PUBLIC_URL, or the address that the request was sent to."""
    if ENV["BRIDGE_PUBLIC_URL"]:
        return public_url()
    return request.build_absolute_uri("/").rstrip("/")


def groups(url: str) -> list[Group]:
    """The operations by tag, in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            shown = _operation(method.upper(), path, operation, url)
            found.setdefault(operation["tags"][0], []).append(shown)
    return [
        Group(name=tag["name"], description=prose(tag["description"]), operations=tuple(found[tag["name"]]))
        for tag in DOCUMENT["tags"]
    ]


def _operation(method: str, path: str, operation: dict[str, Any], url: str) -> Operation:
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        description=prose(operation.get("description", "")),
        scope=operation["x-scope"],
        fields=tuple(_fields(operation)),
        curl=curl(method, path, operation, url),
    )


def _fields(operation: dict[str, Any]) -> Iterator[Field]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return
    whole = resolved(schema)
    for name, given in whole["properties"].items():
        shape = resolved(given)
        yield Field(
            name=name,
            takes=takes(shape),
            required=name in whole.get("required", ()),
            description=prose(given.get("description", shape.get("description", ""))),
        )


def prose(text: str) -> SafeString:
    """The document's Markdown as HTML: all that it has is `code`."""
    return mark_safe(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))  # noqa: S308  escaped first


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a $ref names, or the schema itself."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def takes(schema: dict[str, Any]) -> str:
    """'string', 'array of string', '"json" or object': the types of a schema, without null."""
    schema = resolved(schema)
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(word for branch in branches if (word := takes(branch))))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(json.dumps(value) for value in values if value not in (None, ""))
    kinds = schema.get("type", "anything")
    words = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if words == ["array"]:
        return f"array of {takes(schema['items'])}"
    return " or ".join(words)


def curl(method: str, path: str, operation: dict[str, Any], url: str) -> str:
    """A line for a shell, with the key from the environment."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    verb = {"GET": "", "POST": "", "HEAD": "-I "}.get(method, f"-X {method} ")
    lines = [f"curl {verb}{url}{path}"]
    if operation["x-scope"] is not None:
        lines.append(f'-H "Authorization: Bearer {KEY}"')
    content = operation.get("requestBody", {}).get("content", {})
    if media := content.get("application/json"):
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(media['example'])}'"]
    elif content:
        lines.append("--data-binary @file")
    return " \\\n  ".join(lines)

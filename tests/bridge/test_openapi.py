"""The OpenAPI document describes the served bridge: schemathesis drives it with what the document allows."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bridge.hot.api import EXACT, PREFIXES
from bridge.views.documentation import DOCUMENT
from tests.bridge.served import Served

HEALTH = {("GET", "/livez"), ("GET", "/readyz")}
SCHEMA = schemathesis.openapi.from_dict(deepcopy(DOCUMENT))  # it writes into what it is given
OPERATIONS: dict[str, APIOperation[Any, Any, Any]] = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations()
}
STORE = {label for label in OPERATIONS if OPERATIONS[label].definition.raw.get("x-scope") == "manage"}
BOUNDS = {"max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"}
CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_the_document_is_valid() -> None:
    SCHEMA.validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_has_every_route_of_the_api_with_its_scope_and_no_other() -> None:
    table = [*EXACT, *(route for group in PREFIXES.values() for route in group)]
    routes = {(route.method, route.endpoint, route.scope) for route in table}
    told = {
        (method.upper(), path, operation["x-scope"])
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert told == routes | {(method, path, None) for method, path in HEALTH}


def test_only_what_is_open_to_anyone_says_that_it_needs_no_key() -> None:
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            assert (operation.get("security") == []) is (operation["x-scope"] is None)


def bodies() -> list[tuple[str, Any, Any]]:
    found = []
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            if media := content.get("application/json"):
                found.append((path, media["schema"], media["example"]))
    return found


@pytest.mark.parametrize(("path", "schema", "example"), bodies(), ids=[path for path, _, _ in bodies()])
def test_each_example_is_what_its_schema_takes(path: str, schema: Any, example: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole).validate(example)


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_document_allows_is_answered_as_it_says(label: str, served: Served) -> None:
    statuses = drive(label, served, GenerationMode.POSITIVE, examples=3 if label in STORE else 8)
    assert 200 in statuses or label in STORE | {"GET /v1/models/{id}"}  # those have made-up names


@pytest.mark.parametrize("label", [label for label in OPERATIONS if OPERATIONS[label].body])
def test_what_it_forbids_is_never_a_fault_of_the_server(label: str, served: Served) -> None:
    statuses = drive(label, served, GenerationMode.NEGATIVE, examples=3 if label in STORE else 6)
    assert 400 in statuses


def drive(label: str, served: Served, mode: GenerationMode, *, examples: int) -> set[int]:
    """The statuses that came."""
    statuses: set[int] = set()
    operation = OPERATIONS[label]
    hurry = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @hurry
    @given(case=operation.as_strategy(generation_mode=mode))
    def meets(case: Case[Any, Any, Any]) -> None:
        prepare(case, label)
        response = case.call(base_url=served.bridge.url, headers={"Authorization": f"Bearer {served.key}"})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CONFORMS)

    meets()
    return statuses


def prepare(case: Case[Any, Any, Any], label: str) -> None:
    """Whole and short answers, from a model that is there, so that requests get past the look-up. The store
    keeps made-up names: a delete must not take the models away from the other examples."""
    case.headers.pop("X-Bridge-Node", None)
    if not isinstance(case.body, dict) or label in STORE:
        return
    if isinstance(case.body.get("model"), str):
        case.body["model"] = "nomic-embed-text" if "embed" in label else "llama3.2"
    if isinstance(case.body.get("stream", True), bool | None):
        case.body["stream"] = False
    for fields in (case.body, case.body.get("options")):
        for name in BOUNDS & set(fields) if isinstance(fields, dict) else ():
            if isinstance(fields[name], int | float) and fields[name] > 8:  # 1e9 is an integer too
                fields[name] = 8


def test_the_document_is_served(served: Served) -> None:
    reply = served.bridge.get("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.content) == DOCUMENT

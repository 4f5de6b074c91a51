"""Which view answers which path."""

from __future__ import annotations

import pytest

from bridge.errors import NotFound, WrongMethod
from bridge.hot.api import dialect_of, routes

TABLE = routes()


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "scope"),
    [
        ("POST", "/api/chat", "/api/chat", "chat"),
        ("POST", "/api/embed", "/api/embed", "embed"),
        ("GET", "/api/tags", "/api/tags", "models"),
        ("HEAD", "/api/tags", "/api/tags", "models"),
        ("DELETE", "/api/delete", "/api/delete", "manage"),
        ("GET", "/v1/models/llama3.2", "/v1/models/{id}", "models"),
        ("GET", "/v1/models/library/qwen3:8b", "/v1/models/{id}", "models"),
        ("HEAD", "/api/blobs/sha256:00", "/api/blobs/{digest}", "manage"),
    ],
)
def test_a_path_has_its_route(method: str, path: str, endpoint: str, scope: str) -> None:
    route = TABLE.find(path, method)
    assert (route.endpoint, route.scope) == (endpoint, scope)


def test_only_the_upload_of_a_blob_is_read_piece_by_piece() -> None:
    assert not TABLE.find("/api/blobs/sha256:00", "POST").whole_body
    assert TABLE.find("/api/chat", "POST").whole_body


@pytest.mark.parametrize("path", ["/api/chat/", "/api/CHAT", "/v1/models/", "/api/blobs/", "/v2/models", ""])
def test_what_is_not_in_the_table_is_not_found(path: str) -> None:
    with pytest.raises(NotFound, match="/docs") as error:
        TABLE.find(path, "POST")
    assert error.value.status == 404


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/api/chat", "POST"),
        ("PUT", "/api/blobs/sha256:00", "HEAD or POST"),
        ("POST", "/v1/models", "GET"),
    ],
)
def test_a_wrong_method_names_the_right_ones(method: str, path: str, right: str) -> None:
    with pytest.raises(WrongMethod, match=f"takes {right}, not {method}") as error:
        TABLE.find(path, method)
    assert error.value.status == 405


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/messages/count", "anthropic"), ("/v1/anything", "openai"), ("/api/anything", "ollama")],
)
def test_errors_under_a_path_have_its_dialects_shape(path: str, name: str) -> None:
    assert dialect_of(path).name.startswith(name)

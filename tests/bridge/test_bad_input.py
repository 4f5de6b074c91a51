"""Bad input gets a clear error in its dialect's shape, the request id, and one record."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.bridge.served import BODIES, Served
from tests.conftest import FakeNode, Serve

ROUTES = sorted(BODIES)


def error_of(route: str, reply: httpx.Response) -> str:
    """The message, after checking the dialect's shape."""
    body = reply.json()
    if route.startswith("/api/"):
        assert isinstance(body["error"], str)
        return str(body["error"])
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["type"]
    if route == "/v1/messages":
        assert body["type"] == "error"
    return str(body["error"]["message"])


def check(served: Served, route: str, reply: httpx.Response, status: int, outcome: str = "refused") -> str:
    assert reply.status_code == status, reply.text
    message = error_of(route, reply)
    assert message
    record = served.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["status"]) == (outcome, status)
    return message


@pytest.fixture
def client(served: Served) -> Any:
    with served.bridge.client(served.key) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"null", b'{"model": ', b'\xff\xfe{"model":"x"}', b'{"model": 3}', b"{}"],
    ids=["empty", "cut", "array", "null", "half", "bad-utf8", "number-model", "no-model"],
)
def test_what_is_no_request_is_a_400(
    served: Served, client: httpx.Client, route: str, payload: bytes
) -> None:
    reply = client.post(route, content=payload, headers={"Content-Type": "application/json"})
    check(served, route, reply, 400)


@pytest.mark.parametrize("route", ROUTES)
def test_an_unknown_model_is_a_404_with_near_names(served: Served, client: httpx.Client, route: str) -> None:
    reply = client.post(route, json=served.body(route, stream=False, model="lama3.2"))
    assert "llama3.2" in check(served, route, reply, 404)


@pytest.mark.parametrize("route", ROUTES)
def test_a_cloud_model_goes_nowhere(served: Served, client: httpx.Client, route: str) -> None:
    reply = client.post(route, json=served.body(route, stream=False, model="gpt-oss:120b-cloud"))
    assert "ollama.com" in check(served, route, reply, 403)


@pytest.mark.parametrize("path", ["/api/nothing", "/v1/nothing", "/v1/messages/nothing", "/api/"])
def test_an_unknown_route_is_a_404(served: Served, client: httpx.Client, path: str) -> None:
    check(served, path, client.get(path), 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/chat"), ("DELETE", "/v1/chat/completions")])
def test_a_wrong_method_is_a_405_that_names_the_right_one(
    served: Served, client: httpx.Client, method: str, path: str
) -> None:
    assert "POST" in check(served, path, client.request(method, path), 405)


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_without_a_key_is_a_401(served: Served, route: str) -> None:
    reply = httpx.post(served.bridge.url + route, json=served.body(route, stream=False), trust_env=False)
    assert "key" in check(served, route, reply, 401)


def test_a_key_without_the_scope_and_one_outside_its_models_are_403s(served: Served) -> None:
    route = "/v1/chat/completions"
    embed_only = served.bridge.key("embed only", "--scopes", "embed")
    other_models = served.bridge.key("qwen only", "--models", "qwen*")
    with served.bridge.client(embed_only) as client:
        reply = client.post(route, json=served.body(route, stream=False))
        assert "scope" in check(served, route, reply, 403)
    with served.bridge.client(other_models) as client:
        reply = client.post(route, json=served.body(route, stream=False))
        check(served, route, reply, 403)
        assert {m["id"] for m in client.get("/v1/models").json()["data"]} == {"qwen3:latest"}


def test_a_revoked_key_is_refused_within_a_second(served: Served) -> None:
    key = served.bridge.key("short lived")
    served.bridge.manage("revokekey", key.split("_")[1])
    served.bridge.until(lambda: served.bridge.get("/v1/models", key).status_code == 401, within_s=1.0)


def test_a_body_over_the_limit_is_a_413_in_the_dialect(fake_node: FakeNode, serve: Serve) -> None:
    bridge = serve([fake_node().url], BRIDGE_BODY_LIMIT="64KiB")
    key = bridge.key()
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": "x" * 100_000}]}
    with bridge.client(key) as client:
        for route in ("/api/chat", "/v1/chat/completions", "/v1/messages"):
            reply = client.post(route, json=body)
            assert reply.status_code == 413
            assert "BRIDGE_BODY_LIMIT" in error_of(route, reply)


def test_a_header_cannot_choose_the_request_id(served: Served, client: httpx.Client) -> None:
    reply = client.get("/v1/models", headers={"X-Request-Id": "mine"})
    assert reply.headers["x-request-id"].startswith("req_")


def test_unknown_fields_pass(served: Served, client: httpx.Client) -> None:
    for route in ROUTES:
        reply = client.post(route, json=served.body(route, stream=False, something_new={"a": 1}))
        assert reply.status_code == 200, (route, json.dumps(reply.json()))

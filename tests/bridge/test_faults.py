"""What a client sees when a node fails: never a broken answer that looks whole, and one record of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bridge.served import BODIES, Served
from tests.conftest import FakeNode, Serve
from tests.serving import Bridge

STREAM_FAULTS = ("cut_mid_stream", "eof_without_done", "error_mid_stream", "garbage_line")
ROUTES = sorted(BODIES)


def events(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a stream, of lines or of server-sent events."""
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def says_error(event: dict[str, Any]) -> bool:
    return (
        "error" in event
        or event.get("type") in ("error", "response.failed")
        or (
            (event.get("response") or {}) != {}
            and isinstance(event["response"], dict)
            and event["response"].get("status") == "failed"
        )
    )


# A native client gets the node's bytes untouched, a garbled line too: it fails in the client's own hands.
SEEN = [(r, f) for r in ROUTES for f in STREAM_FAULTS if not (r.startswith("/api/") and f == "garbage_line")]


@pytest.mark.parametrize(("route", "fault"), SEEN)
def test_a_stream_that_breaks_off_ends_with_an_error_the_client_sees(
    served: Served, route: str, fault: str
) -> None:
    served.node.arm(fault, count=1, after=3)
    with served.bridge.client(served.key) as client:
        reply = client.post(route, json=served.body(route, stream=True))
    assert reply.status_code == 200
    assert says_error(events(reply.text)[-1]), reply.text[-500:]
    assert "[DONE]" not in reply.text
    record = served.bridge.record(reply.headers["x-request-id"])
    assert record["outcome"] == "failed"
    assert record["output_tokens"] > 0


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer_that_does_not_stream_is_tried_once_more_when_the_node_breaks_it_off(
    served: Served, route: str
) -> None:
    served.node.arm("cut_mid_stream", count=1)
    with served.bridge.client(served.key) as client:
        reply = client.post(route, json=served.body(route, stream=False))
    assert reply.status_code == 200, reply.text
    assert served.bridge.record(reply.headers["x-request-id"])["outcome"] == "answered"


def test_a_busy_node_is_left_for_another_before_the_first_byte(fake_node: FakeNode, serve: Serve) -> None:
    busy, free = fake_node(slots=4), fake_node(slots=4)
    bridge = serve([busy.url, free.url], BRIDGE_DEFAULT_SLOTS="4")
    key = bridge.key()
    busy.arm("busy_503", count=1)
    with bridge.client(key) as client:
        replies = [client.post("/api/chat", json=body()) for _ in range(6)]
    assert {reply.status_code for reply in replies} == {200}


def test_a_dead_node_costs_no_request_while_another_lives(fake_node: FakeNode, serve: Serve) -> None:
    dying, living = fake_node(slots=4), fake_node(slots=4)
    bridge = serve([dying.url, living.url], BRIDGE_DEFAULT_SLOTS="4")
    key = bridge.key()
    with bridge.client(key) as client:
        assert client.post("/api/chat", json=body()).status_code == 200
        dying.kill()
        assert {client.post("/api/chat", json=body()).status_code for _ in range(8)} == {200}


def test_all_nodes_gone_is_a_503_that_says_so_and_recovery_needs_no_restart(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node()
    bridge = serve([node.url], BRIDGE_DEADLINE="20s")
    key = bridge.key()
    port = node.port
    node.kill()
    with bridge.client(key) as client:
        reply = client.post("/v1/chat/completions", json=body())
        assert reply.status_code in (502, 503)
        assert reply.json()["error"]["message"]
        fake_node(port=port)
        bridge.until(lambda: client.post("/api/chat", json=body()).status_code == 200)


def body() -> dict[str, Any]:
    return {"model": "llama3.2", "messages": [{"role": "user", "content": "one two"}], "stream": False}


def test_a_node_that_is_silent_for_too_long_is_a_504(fake_node: FakeNode, serve: Serve) -> None:
    node = fake_node()
    bridge: Bridge = serve([node.url], BRIDGE_FIRST_TOKEN_TIMEOUT="0.5s")
    key = bridge.key()
    with bridge.client(key) as client:
        assert client.post("/api/chat", json=body()).status_code == 200
        node.arm("hang", count=1)
        reply = client.post("/api/chat", json=body())
    assert reply.status_code == 504
    assert bridge.record(reply.headers["x-request-id"])["reason"] == "node_timeout"

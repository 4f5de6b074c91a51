"""SIGTERM ends what is open in order, and a client that does not read holds nobody up."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack

import httpx
import pytest

from tests.bridge.proc import resident_mib
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import FakeNode, Serve
from tests.serving import PATIENCE_S, Bridge

END = {"/api/chat": b'"done":true', "/v1/chat/completions": b"data: [DONE]", "/v1/messages": b"message_stop"}
STALLED = 3
GROWTH_MIB = 64  # far above what a few buffers take, far below what the node would have sent


def terminate(bridge: Bridge) -> None:
    assert bridge.process is not None
    bridge.process.send_signal(signal.SIGTERM)


def ended(bridge: Bridge) -> int:
    """The exit status, once the process has ended."""
    assert bridge.process is not None
    status = bridge.process.wait(PATIENCE_S)
    bridge.process = None
    return status


def test_open_streams_end_whole_while_new_requests_are_sent_elsewhere(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node(slots=4, tps=15)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="4")
    served = Served(node, bridge, bridge.key())
    long = {"options": {"num_predict": 45}, "max_tokens": 45}  # three seconds of streaming
    with ExitStack() as stack:
        wires = {route: stack.enter_context(Wire(bridge, served.key)) for route in END}
        for route, wire in wires.items():
            wire.send(route, served.body(route, stream=True) | long)
            wire.head()
            wire.until(b"one")
        client = stack.enter_context(bridge.client(served.key))
        assert client.get("/v1/models").status_code == 200  # this connection is kept alive

        terminate(bridge)
        bridge.until(lambda: bridge.get("/readyz").status_code == 503)
        assert "draining" in bridge.get("/readyz").text
        assert bridge.get("/livez").status_code == 200
        for route in END:
            reply = client.post(route, json=served.body(route, stream=False))
            assert reply.status_code == 503, reply.text
            assert reply.headers["retry-after"] == "1"
            assert "stopped" in reply.text
        for route, wire in wires.items():
            wire.until(END[route])
    assert ended(bridge) == 0
    assert len(bridge.records(outcome="answered")) == len(END)
    refused = bridge.records(outcome="refused", reason="draining")
    assert [record["status"] for record in refused] == [503] * len(END)
    with pytest.raises(httpx.ConnectError):
        bridge.get("/readyz")


@pytest.mark.parametrize("asked", ["twice", "past its time"])
def test_a_stream_that_does_not_end_is_cut_off_at_last(fake_node: FakeNode, serve: Serve, asked: str) -> None:
    node = fake_node(slots=2)
    timeout = "1s" if asked == "past its time" else "10m"
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="2", BRIDGE_DRAIN_TIMEOUT=timeout)
    served = Served(node, bridge, bridge.key())
    node.arm("hang", count=2, after=2)
    with Wire(bridge, served.key) as wire, Wire(bridge, served.key) as whole:
        wire.send("/api/chat", served.body("/api/chat", stream=True), agent="hung")
        wire.until(b"two")
        whole.send("/v1/messages", served.body("/v1/messages", stream=False), agent="whole")
        bridge.until(lambda: node.report()["in_flight"] == 2)
        terminate(bridge)
        bridge.until(lambda: bridge.get("/readyz").status_code == 503)
        if asked == "twice":
            terminate(bridge)
        wire.until(b'{"error":"This bridge was stopped')
        assert b'"done":true' not in wire.read
        status, headers = whole.head()
        assert (status, headers["retry-after"]) == (503, "1")
        while not whole.closed():
            pass
        assert json.loads(whole.read)["error"]["message"].startswith("This bridge was stopped")
    assert ended(bridge) == 0
    (record,) = bridge.records(client="hung")
    assert (record["outcome"], record["reason"]) == ("cancelled", "draining")
    (record,) = bridge.records(client="whole")
    assert (record["outcome"], record["reason"]) == ("cancelled", "draining")
    bridge.until(lambda: node.report()["in_flight"] == 0)


def test_clients_that_stop_reading_are_cancelled_and_cost_little_memory(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node(slots=STALLED + 1)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS=str(STALLED + 1), BRIDGE_SEND_TIMEOUT="1s")
    served = Served(node, bridge, bridge.key())
    endless = {"options": {"num_predict": 80_000}, "max_tokens": 80_000}
    with ExitStack() as stack, bridge.client(served.key) as client:

        def answered() -> bool:
            reply = client.post("/api/chat", json=served.body("/api/chat", stream=False))
            return reply.status_code == 200

        assert answered()
        assert bridge.process is not None
        before = resident_mib(bridge.process.pid)
        for number in range(STALLED):
            wire = stack.enter_context(Wire(bridge, served.key, receive_bytes=4096))
            route = sorted(END)[number % len(END)]
            wire.send(route, served.body(route, stream=True) | endless, agent="stalled")
            wire.head()
        bridge.until(lambda: answered() and len(bridge.records(client="stalled")) == STALLED)
        assert resident_mib(bridge.process.pid) - before < GROWTH_MIB
        bridge.until(lambda: node.report()["in_flight"] == 0)
        reasons = {(r["outcome"], r["reason"]) for r in bridge.records(client="stalled")}
        assert reasons == {("cancelled", "client_stalled")}
        assert node.report()["cancelled_running"] == STALLED

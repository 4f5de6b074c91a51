"""Cancellations by operators: the request ends, its client is told, and its seat is free."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

ASK = """
from scheduler.models import OperatorRequest
for request_id in {}:
    OperatorRequest.objects.ask("cancel", request_id=request_id, asked_by="olga")
"""


@pytest.fixture(scope="module")
def one_seat(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node with one slot, and streams that get their headers at once, with their ids."""
    directory = tmp_path_factory.mktemp("cancelling") / "data"
    with NodeProcess("llama3.2=2", vram_gib=24, slots=1, **QUICK) as node:
        env = {"BRIDGE_DEFAULT_SLOTS": "1", "BRIDGE_HEARTBEAT": "0.05s"}
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            yield Served(node, bridge.start(), bridge.key("test"))
        finally:
            bridge.close()


def begun(served: Served, route: str) -> tuple[Wire, str]:
    """A stream whose headers are there, and its request id."""
    wire = Wire(served.bridge, served.key)
    wire.send(route, served.body(route, stream=True))
    return wire, wire.head()[1]["x-request-id"]


def answered(served: Served) -> bool:
    with served.bridge.client(served.key) as client:
        reply = client.post("/api/chat", json=served.body("/api/chat", stream=False))
    return reply.status_code == 200


def states(bridge: Bridge) -> dict[str, str]:
    """What became of each cancellation, by request id."""
    with contextlib.closing(sqlite3.connect(bridge.data_dir / "bridge.sqlite3")) as database:
        return dict(database.execute("SELECT request_id, state FROM scheduler_operatorrequest").fetchall())


def test_streams_that_run_and_that_wait_are_ended_and_their_clients_told(one_seat: Served) -> None:
    bridge, node = one_seat.bridge, one_seat.node
    bridge.until(lambda: answered(one_seat))
    node.arm("hang", count=1, after=2)
    with_seat, runs = begun(one_seat, "/api/chat")
    with with_seat:
        with_seat.until(b'"done":false')
        in_line, waits = begun(one_seat, "/v1/chat/completions")
        with in_line:
            bridge.manage("shell", "-c", ASK.format([waits, runs, "req_gone"]))
            assert b"An operator cancelled this request." in with_seat.until(b"request_id")
            assert b'"done":true' not in with_seat.read
            assert b"An operator cancelled this request." in in_line.until(b"request_id")
            assert b"[DONE]" not in in_line.read
    for request_id, node_name in ((runs, "127.0.0.1"), (waits, "")):
        record = bridge.record(request_id)
        assert (record["outcome"], record["reason"], record["node"]) == ("cancelled", "operator", node_name)
    bridge.until(lambda: node.report()["in_flight"] == 0)
    assert answered(one_seat), "the seat is free again"
    # What no bridge holds is answered by the scheduler, some seconds later.
    bridge.until(lambda: states(bridge) == {runs: "done", waits: "done", "req_gone": "refused"})

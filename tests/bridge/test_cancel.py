"""A client that leaves ends the work for it, wherever it stands: its generation, never the load."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import BODIES, Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

ROUTES = ("/api/chat", "/v1/chat/completions")
BOTH = [(route, stream) for route in ROUTES for stream in (True, False)]
COLD = [f"cold{number}" for number in range(len(BOTH))]
LOAD_S = 40  # times 20 ms: long enough to leave in the middle of it, short enough to wait for its end
callers = itertools.count()


@pytest.fixture(scope="module")
def one_seat(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A node with one slot: who comes second waits. Waiting streams get their headers at once."""
    models = ",".join(["llama3.2=2", *(f"{name}=0.5" for name in COLD)])
    directory = tmp_path_factory.mktemp("cancel") / "data"
    with NodeProcess(models, vram_gib=24, slots=1, max_loaded=9, **QUICK) as node:
        env = {"BRIDGE_DEFAULT_SLOTS": "1", "BRIDGE_HEARTBEAT": "0.05s", "BRIDGE_BODY_TIMEOUT": "1s"}
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            yield Served(node, bridge, bridge.key("test"))
        finally:
            bridge.close()


@pytest.fixture(autouse=True)
def serving(one_seat: Served) -> Iterator[None]:
    """The bridge serves, llama3.2 is warm, and afterwards nothing of a test is left."""
    if one_seat.bridge.process is None:
        one_seat.bridge.start()
    assert_served(one_seat)
    yield
    one_seat.node.disarm()
    assert in_flight(one_seat) == 0


class Caller:
    """A request that its record is found by again."""

    def __init__(self, served: Served, route: str, *, stream: bool, model: str = "llama3.2") -> None:
        self.served = served
        self.agent = f"caller-{next(callers)}"
        self.wire = Wire(served.bridge, served.key)
        self.wire.send(route, served.body(route, stream=stream, model=model), agent=self.agent)

    def leave(self) -> dict[str, Any]:
        """The one record of the request that is left."""
        self.wire.leave()
        return the_record(self.served, self.agent)


def the_record(served: Served, agent: str) -> dict[str, Any]:
    served.bridge.until(lambda: served.bridge.records(client=agent))
    (record,) = served.bridge.records(client=agent)
    return record


def in_flight(served: Served) -> int:
    return int(served.node.report()["in_flight"])


def assert_served(served: Served, model: str = "llama3.2") -> None:
    """The only seat is free: a request on it is answered."""
    with served.bridge.client(served.key) as client:
        reply = client.post("/api/chat", json=served.body("/api/chat", stream=False, model=model))
    assert reply.status_code == 200, reply.text


def assert_cancelled(record: dict[str, Any], *, stream: bool) -> None:
    assert (record["outcome"], record["reason"], record["status"]) == ("cancelled", "client_left", 499)
    assert bool(record["stream"]) is stream


@pytest.mark.parametrize(("route", "stream"), BOTH)
def test_who_leaves_the_line_never_reaches_the_node(one_seat: Served, route: str, stream: bool) -> None:
    node, before = one_seat.node, one_seat.node.report()
    node.arm("hang", count=1, after=1)
    seated = Caller(one_seat, "/api/chat", stream=True)
    one_seat.bridge.until(lambda: in_flight(one_seat) == 1)
    queued = Caller(one_seat, route, stream=stream)
    # One that came later has its headers, so the earlier one stands in the line too.
    later = Caller(one_seat, "/api/chat", stream=True)
    later.wire.until(b'"done":false')

    record = queued.leave()
    assert_cancelled(record, stream=stream)
    assert (record["node"], record["prompt_tokens"], record["output_tokens"]) == ("", 0, 0)
    later.leave()
    seated.leave()
    assert_served(one_seat)
    after = node.report()
    assert after["cancelled"] - before["cancelled"] == 1  # who was seated
    assert after["started"] - before["started"] == 2  # and the request that was served afterwards


@pytest.mark.parametrize(("route", "stream", "model"), [(*b, m) for b, m in zip(BOTH, COLD, strict=True)])
def test_who_leaves_while_the_model_loads_does_not_stop_the_load(
    one_seat: Served, route: str, stream: bool, model: str
) -> None:
    node = one_seat.node
    node.arm("slow_load", model=model, count=1, value=LOAD_S)
    caller = Caller(one_seat, route, stream=stream, model=model)
    one_seat.bridge.until(lambda: node.state()["loading"] == f"{model}:latest")

    assert_cancelled(caller.leave(), stream=stream)
    assert node.state()["loading"] == f"{model}:latest"
    assert_served(one_seat, model)
    report = node.report()
    assert report["aborted_loads_total"] == 0
    assert [load["model"] for load in report["loads"]].count(f"{model}:latest") == 1


@pytest.mark.parametrize("after", [0, 3], ids=["before the first token", "mid-stream"])
@pytest.mark.parametrize(("route", "stream"), BOTH)
def test_who_leaves_a_generation_ends_it(one_seat: Served, route: str, stream: bool, after: int) -> None:
    node, before = one_seat.node, one_seat.node.report()
    node.arm("hang", count=1, after=after)
    caller = Caller(one_seat, route, stream=stream)
    one_seat.bridge.until(lambda: in_flight(one_seat) == 1)
    if stream and after:
        caller.wire.until(b"content")

    record = caller.leave()
    assert_cancelled(record, stream=stream)
    one_seat.bridge.until(lambda: in_flight(one_seat) == 0)
    report = node.report()
    assert report["cancelled_running"] - before["cancelled_running"] == 1
    assert report["aborted_loads_total"] == 0
    assert (record["output_tokens"] > 0) is bool(stream and after)
    assert_served(one_seat)


@pytest.mark.parametrize("route", sorted(BODIES))
def test_who_leaves_before_the_body_came_is_a_cancelled_request_too(one_seat: Served, route: str) -> None:
    agent = f"caller-{next(callers)}"
    with Wire(one_seat.bridge, one_seat.key) as wire:
        wire.send_head(route, 1000, agent=agent)
        wire.send_bytes(b'{"model": "llama3.2", ')
    assert the_record(one_seat, agent)["outcome"] == "cancelled"


def test_who_leaves_with_the_head_alone_is_a_cancelled_request_too(one_seat: Served) -> None:
    agent = f"caller-{next(callers)}"
    with Wire(one_seat.bridge, one_seat.key) as wire:
        wire.send_head("/api/chat", 1000, agent=agent)
    assert the_record(one_seat, agent)["outcome"] == "cancelled"


def test_whose_body_does_not_come_is_told_so_in_its_dialect(one_seat: Served) -> None:
    agent = f"caller-{next(callers)}"
    with ExitStack() as stack:
        wires = {}
        for route, begun in itertools.product(sorted(BODIES), (b"", b'{"model": "llama3.2", ')):
            wires[route, begun] = wire = stack.enter_context(Wire(one_seat.bridge, one_seat.key))
            wire.send_head(route, 1000, agent=agent)
            wire.send_bytes(begun)
        for (route, _), wire in wires.items():
            status, headers = wire.head()
            assert (status, headers["connection"]) == (408, "close")
            while not wire.closed():
                pass
            error = json.loads(wire.read)["error"]
            told = error if route.startswith("/api/") else error["message"]
            assert told == "The request body stopped coming; send it without long pauses."
    one_seat.bridge.until(lambda: len(one_seat.bridge.records(client=agent)) == len(wires))
    ends = {(r["outcome"], r["status"]) for r in one_seat.bridge.records(client=agent)}
    assert ends == {("refused", 408)}

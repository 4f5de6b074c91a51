"""The development server, daphne, passes the same core tests as the production server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import MODELS, Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import ROOT, Bridge, copied


class Daphne(Bridge):
    """A bridge under `runserver`; it sends no lifespan events, so the first request starts the process."""

    def start(self) -> Daphne:
        command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self.until(self.ready)
        return self


@pytest.fixture(scope="module")
def daphne(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("daphne") / "data"
    with NodeProcess(MODELS, vram_gib=24, slots=4, **QUICK) as node:
        env = {"BRIDGE_DEFAULT_SLOTS": "4", "BRIDGE_BODY_LIMIT": "64KiB"}
        bridge = Daphne(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            key = bridge.key()
            yield Served(node, bridge.start(), key)
        finally:
            bridge.close()


def test_the_development_server_is_daphne(daphne: Served) -> None:
    assert "Starting ASGI/Daphne" in daphne.bridge.log.read_text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("route", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_a_request_is_answered_and_recorded(daphne: Served, route: str, *, stream: bool) -> None:
    with daphne.bridge.client(daphne.key) as client:
        reply = client.post(route, json=daphne.body(route, stream=stream))
    assert reply.status_code == 200
    assert "one" in reply.text
    record = daphne.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["output_tokens"]) == ("answered", 8)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_client_that_leaves_ends_its_generation(daphne: Served, *, stream: bool) -> None:
    agent = f"leaving-{stream}"
    daphne.node.arm("hang", count=1, after=2)
    with Wire(daphne.bridge, daphne.key) as wire:
        wire.send("/api/chat", daphne.body("/api/chat", stream=stream), agent=agent)
        daphne.bridge.until(lambda: daphne.node.report()["in_flight"] == 1)
    daphne.bridge.until(lambda: daphne.node.report()["in_flight"] == 0)
    daphne.bridge.until(lambda: daphne.bridge.records(client=agent))
    (record,) = daphne.bridge.records(client=agent)
    assert record["outcome"] == "cancelled"


def test_a_body_over_the_limit_is_a_413(daphne: Served) -> None:
    body = daphne.body("/api/chat", stream=False, messages=[{"role": "user", "content": "x" * 100_000}])
    with daphne.bridge.client(daphne.key) as client:
        reply = client.post("/api/chat", json=body)
    assert reply.status_code == 413
    assert "BRIDGE_BODY_LIMIT" in reply.json()["error"]


def test_a_request_without_a_key_is_a_401(daphne: Served) -> None:
    assert daphne.bridge.get("/v1/models").status_code == 401

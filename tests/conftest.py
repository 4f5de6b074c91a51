"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # imported where they are used: the policy's tests pass without Django and its company
    from scheduler.simulator.process import NodeProcess
    from tests.bridge.served import Served
    from tests.postgres import PostgresServer
    from tests.serving import Bridge

FakeNode = Callable[..., "NodeProcess"]
Serve = Callable[..., "Bridge"]
QUICK = {"load_gbps": 100, "load_fixed": 0.02, "vram_recovery": 0.01, "tps": 0, "prefill_tps": 0}


@pytest.fixture
def fake_node() -> Iterator[FakeNode]:
    """Start simulated nodes: `fake_node("llama3.2=2,…", vram_gib=24, tps=0)`; all end with the test.

    Loads are quick and tokens come without delay unless the flags say otherwise.
    """
    from scheduler.simulator.process import NodeProcess

    with ExitStack() as nodes:

        def start(models: str = "llama3.2=2", **flags: object) -> NodeProcess:
            return nodes.enter_context(NodeProcess(models, **{**QUICK, **flags}))

        yield start


@pytest.fixture(scope="session")
def empty_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated data directory, made once and copied for each bridge."""
    from tests.serving import migrated

    return migrated(tmp_path_factory.mktemp("bridge") / "empty")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests, which take a database of their own each."""
    from tests.postgres import PostgresServer, binaries

    if binaries() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL on this machine")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def serve(empty_data: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start bridges: `serve([node.url], BRIDGE_HEARTBEAT="0.1s")`; all end with the test."""
    from tests.serving import Bridge, copied

    with ExitStack() as bridges:
        count = 0

        def start(nodes: list[str], **env: str) -> Bridge:
            nonlocal count
            count += 1
            bridge = Bridge(copied(empty_data, tmp_path / f"data{count}"), nodes=nodes, **env)
            bridges.callback(bridge.close)
            bridge.manage("synccatalog")
            return bridge.start()

        yield start


@pytest.fixture(scope="module")
def served(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One node and one bridge for a whole file, for tests that leave them as they found them."""
    from scheduler.simulator.process import NodeProcess
    from tests.bridge.served import MODELS, Served
    from tests.serving import Bridge, copied

    directory = tmp_path_factory.mktemp("served") / "data"
    with NodeProcess(MODELS, vram_gib=24, slots=8, **QUICK) as node:
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], BRIDGE_DEFAULT_SLOTS="8")
        try:
            bridge.manage("synccatalog")
            key = bridge.key("test", "--scopes", "chat,embed,models,manage")
            yield Served(node, bridge.start(), key)
        finally:
            bridge.close()

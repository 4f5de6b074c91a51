"""Fixtures that every room's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from scheduler.simulator.process import NodeProcess

FakeNode = Callable[..., NodeProcess]


@pytest.fixture
def fake_node() -> Iterator[FakeNode]:
    """Start simulated nodes: `fake_node("llama3.2=2,…", vram_gib=24, tps=0)`; all end with the test.

    Loads are quick and tokens come without delay unless the flags say otherwise.
    """
    with ExitStack() as nodes:

        def start(models: str = "llama3.2=2", **flags: object) -> NodeProcess:
            quick = {"load_gbps": 100, "load_fixed": 0.02, "vram_recovery": 0.01, "tps": 0, "prefill_tps": 0}
            return nodes.enter_context(NodeProcess(models, **{**quick, **flags}))

        yield start

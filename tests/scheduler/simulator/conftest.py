"""Nodes that the tests of one file share, because each start of a process takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from scheduler.simulator.process import NodeProcess

QUICK = {"load_gbps": 100, "load_fixed": 0.02, "vram_recovery": 0.01, "tps": 0, "prefill_tps": 0}
SharedNode = Callable[..., NodeProcess]


def _emptied(node: NodeProcess) -> None:
    """As after its start: no faults, nothing resident, an empty report."""
    node.disarm()
    for resident in node.state()["residents"]:
        httpx.post(f"{node.url}/api/generate", json={"model": resident["model"], "keep_alive": 0})
    while node.state()["residents"] or node.state()["in_flight"]:
        pass
    node.reset()


@pytest.fixture(scope="module")
def shared_node() -> Iterator[SharedNode]:
    """`shared_node("a=2", vram_gib=24)`: the file's node with these flags, as if it had just started."""
    with ExitStack() as stack:
        nodes: dict[str, NodeProcess] = {}

        def get(models: str, **flags: object) -> NodeProcess:
            key = f"{models} {sorted(flags.items())}"
            if key in nodes and nodes[key].alive:
                _emptied(nodes[key])
            else:
                nodes[key] = stack.enter_context(NodeProcess(models, **{**QUICK, **flags}))
            return nodes[key]

        yield get

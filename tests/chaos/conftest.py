from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.chaos.fleet import Fleet, serve
from tests.serving import copied

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def fleet(empty_data: Path, tmp_path: Path) -> Iterator[MakeFleet]:
    """Start a bridge before nodes: `fleet({"n1": node}, slots=2)`; it ends with the test."""
    with ExitStack() as stack:

        def start(nodes: dict[str, NodeProcess], *, slots: int = 2, **env: str) -> Fleet:
            serving = contextmanager(serve)(copied(empty_data, tmp_path / "data"), nodes, slots=slots, **env)
            return stack.enter_context(serving)

        yield start

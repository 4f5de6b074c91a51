"""A live look at nodes for the commands: what answers now, and what is loaded on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.models import Node
from scheduler.nodes import NodeClient, NodeError, NodeFailure, RunningModel

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a node answered just now."""

    version: str = ""
    running: tuple[RunningModel, ...] = ()
    seconds: float | None = None  # of the answer
    error: str = ""
    status: int = 0  # of an answer that was an error

    @property
    def used_bytes(self) -> int:
        """VRAM that models take, by /api/ps."""
        return sum(running.size_vram for running in self.running)


async def _look(node: Node) -> Health:
    client = NodeClient(node.name, node.url, node.access)
    start = time.monotonic()
    try:
        version = await client.version()
        seconds = time.monotonic() - start
        running = await client.ps(DEADLINE_S)
    except NodeFailure as failure:
        status = failure.status if isinstance(failure, NodeError) else 0
        return Health(error=failure.text, status=status)
    finally:
        await client.aclose()
    return Health(version=version, running=tuple(running), seconds=seconds)


async def _look_at_all(nodes: Sequence[Node]) -> list[Health]:
    return list(await asyncio.gather(*(_look(node) for node in nodes)))


def look(nodes: Sequence[Node]) -> list[Health]:
    """All nodes at once, in their order; as slow as the slowest, at most two deadlines."""
    return asyncio.run(_look_at_all(nodes))

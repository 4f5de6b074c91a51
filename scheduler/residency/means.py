from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scheduler.board.interface import Board
from scheduler.nodes.client import NodeClient
from scheduler.nodes.errors import NodeDown
from scheduler.policy.config import Config
from scheduler.residency.fleet import Fleet
from scheduler.residency.lead import Lead
from scheduler.residency.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What an action works with."""

    fleet: Fleet
    board: Board
    lead: Lead
    config: Config
    publish: Callable[[], Awaitable[None]]  # shows the book to the board
    wake: Callable[[], None]  # asks for a round
    look: Callable[[str], Awaitable[None]]  # looks at a node now

    def client(self, node: str) -> NodeClient:
        """Raises NodeDown when the node left the table."""
        client = self.fleet.clients.get(node)
        if client is None:
            raise NodeDown(node, "it is not in the table of nodes any more")
        return client

    def record(self, *records: Record) -> None:
        for record in records:
            self.fleet.recorder.put(record)

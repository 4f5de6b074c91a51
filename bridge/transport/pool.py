"""The open connections, and of each origin a stack of the idle ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.transport.origin import Origin

if TYPE_CHECKING:
    from bridge.transport.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How many there are at this moment."""

    open: int
    idle: int
    in_use: int


class Pool:
    """Last in, first out: few connections stay busy, the others grow old and are closed.

    The number of open connections has no bound of its own: seats bound the requests, and a limit here would
    only hide a queue. `max_idle` bounds what each origin keeps unused.
    """

    def __init__(self, max_idle: int) -> None:
        self._max_idle = max_idle
        self._open: set[Connection] = set()
        # Dicts as ordered sets: the last is popped, a lost one is deleted, both without a scan.
        self._idle: dict[Origin, dict[Connection, None]] = {}

    def take(self, origin: Origin) -> Connection | None:
        """The idle connection used last."""
        stack = self._idle.get(origin)
        while stack:
            connection, _ = stack.popitem()
            if connection.usable:
                return connection
        return None

    def give_back(self, connection: Connection) -> bool:
        """Keep it for the next request; False when enough are idle, and the caller closes it."""
        stack = self._idle.setdefault(connection.origin, {})
        if len(stack) >= self._max_idle:
            return False
        stack[connection] = None
        return True

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def lost(self, connection: Connection) -> None:
        """Forget it; harmless when repeated."""
        self._open.discard(connection)
        stack = self._idle.get(connection.origin)
        if stack is not None:
            stack.pop(connection, None)
            if not stack:
                del self._idle[connection.origin]

    def close(self) -> None:
        """Close every connection, busy ones too."""
        for connection in list(self._open):
            connection.abandon("the transport was closed on this side")

    def connections(self) -> Connections:
        idle = sum(len(stack) for stack in self._idle.values())
        return Connections(open=len(self._open), idle=idle, in_use=len(self._open) - idle)

    def idle(self, origin: Origin) -> int:
        return len(self._idle.get(origin, ()))

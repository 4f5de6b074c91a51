"""The fleet as this worker knows it: rows, sights, the book, clients, and what runs on each node now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from scheduler.board.interface import Line
from scheduler.models import Access
from scheduler.nodes.client import NodeClient
from scheduler.policy.config import Config
from scheduler.policy.state import Action, Forecast, Resident, State, Wish
from scheduler.residency import assemble
from scheduler.residency.book import Book
from scheduler.residency.failures import Failures
from scheduler.residency.learning import Learning
from scheduler.residency.pace import Pace
from scheduler.residency.records import Recorder
from scheduler.residency.rows import NodeRow, Reading, Rows
from scheduler.residency.sight import Sight

Clock = Callable[[], float]
LOADABLE_S = 1.0
READING_S = 20.0  # an older reading of free VRAM says nothing about now
MakeClient = Callable[[str, str, Access], NodeClient]  # name, url, access


class Fleet:
    """Owned by the event loop. What changes it: the watch (sights, found and vanished) and the actions."""

    def __init__(
        self, *, pace: Pace, clock: Clock, recorder: Recorder, make_client: MakeClient = NodeClient
    ) -> None:
        self.pace = pace
        self.clock = clock
        self.recorder = recorder
        self.rows = Rows()
        self.rows_read = False
        self._surveyed = False
        self.book = Book()
        self.learning = Learning()
        self.failures = Failures(pace)
        self.too_large = Failures(pace)  # of contexts that were grown on request, which block no smaller one
        self.sights: dict[str, Sight] = {}
        self.clients: dict[str, NodeClient] = {}
        self.busy: dict[str, Action] = {}
        self.warming: set[tuple[str, str]] = set()  # (node, model) of residents with a slot that replays
        self.readings: Mapping[str, Reading] = {}
        self._make_client = make_client
        self._loadable: Mapping[str, float | None] = {}
        self._loadable_for: tuple[int, frozenset[str]] | None = None  # revision, nodes that answered
        self._loadable_at = 0.0

    async def take_rows(self, rows: Rows) -> None:
        """Take over a new reading of the database: nodes come, go and move."""
        self.rows, self.rows_read = rows, True
        self.learning.take_rows(rows)
        moved = [name for name, client in self.clients.items() if _moved(client, rows.nodes.get(name))]
        closing = [self.clients.pop(name) for name in moved]
        for name in moved:
            self.book.drop_node(name)
            self.sights.pop(name, None)
            self.failures.clear(name)
            self.too_large.clear(name)
        for name, row in rows.nodes.items():
            if name not in self.clients:
                self.clients[name] = self._make_client(name, row.url, row.access)
                self.sights[name] = Sight(
                    node=name, quarantined=row.quarantined, quarantined_until=self.clock()
                )
        for client in closing:  # last: whoever runs meanwhile must find rows, clients and sights in step
            await client.aclose()

    @property
    def ready(self) -> bool:
        """Whether the rows were read and every node was looked at once: before that, nothing may be decided.

        A node that comes later keeps nobody waiting: it is down until it was looked at.
        """
        if not self._surveyed:
            self._surveyed = self.rows_read and all(sight.seen for sight in self.sights.values())
        return self._surveyed

    def reachable(self) -> list[Resident]:
        """Residents of enabled nodes that answer."""
        return [
            r for r in self.book.residents.values() if r.node in self.rows.nodes and self.sights[r.node].up
        ]

    def loads_now(self, node: str) -> bool:
        action = self.busy.get(node)
        return action is not None and action.kind == "load"

    def state(
        self, lines: Iterable[Line], wishes: Sequence[Wish] = (), forecast: Forecast | None = None
    ) -> State:
        now = self.clock()
        return assemble.state(
            self.rows,
            self.sights,
            self.book.residents,
            lines=lines,
            busy=self.busy,
            pins=self.rows.pins(now),
            wishes=wishes,
            stats=self.learning.stats(self.failures.until(), now),
            free=self._free(now),
            forecast=forecast,
            now=now,
        )

    def loadable(self, config: Config) -> Mapping[str, float | None]:
        """By model, the seconds until it could be loaded. Looked up anew each second and where nodes change:
        for 200 models on 50 nodes that takes 7 ms."""
        now = self.clock()
        up = (self.rows.number, frozenset(name for name, sight in self.sights.items() if sight.up))
        if up != self._loadable_for or now - self._loadable_at >= LOADABLE_S:
            self._loadable = assemble.loadable(self.state(()), now, config)
            self._loadable_for, self._loadable_at = up, now
        return self._loadable

    def _free(self, now: float) -> dict[str, int]:
        """Free VRAM by node: as last read, plus what left and less what came since; None when that is old."""
        return {
            name: reading.free_bytes + self.book.moved_since(name, reading.at)
            for name, reading in self.readings.items()
            if now - reading.at <= READING_S
        }

    async def aclose(self) -> None:
        for client in self.clients.values():
            await client.aclose()
        self.clients.clear()


def _moved(client: NodeClient, row: NodeRow | None) -> bool:
    """Whether the client leads to where the row says no more."""
    return row is None or (client.url, client.access) != (row.url, row.access)

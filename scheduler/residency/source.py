"""Where rows come from: the database, asked in a thread of its own, so that the event loop never waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from scheduler import catalogue
from scheduler.database_thread import DatabaseThread
from scheduler.models import OperatorRequest
from scheduler.residency import rows
from scheduler.residency.rows import Rows

T = TypeVar("T")
MOST_REQUESTS = 100  # taken at one look


class Source(Protocol):
    """Coroutines; all raise what the database raises."""

    async def rows(self, known: int | None) -> Rows | None:
        """The rows, or None when their revision is still the `known` one."""

    async def readings(self) -> dict[str, int | None]:
        """Free VRAM by node, newest readings."""

    async def requests(self) -> list[OperatorRequest]:
        """What operators asked for and nobody has carried out yet, oldest first."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work`, which may use the database, where it blocks nobody."""

    async def sync(self) -> None:
        """Make the catalogue equal to what the nodes hold."""

    async def aclose(self) -> None: ...


class DatabaseSource:
    """See Source."""

    def __init__(self) -> None:
        self._thread = DatabaseThread("scheduler-rows")

    async def rows(self, known: int | None) -> Rows | None:
        return await self._thread.run(lambda: None if known == rows.revision() else rows.read())

    async def readings(self) -> dict[str, int | None]:
        return await self._thread.run(rows.readings)

    async def requests(self) -> list[OperatorRequest]:
        return await self._thread.run(lambda: list(OperatorRequest.objects.waiting()[:MOST_REQUESTS]))

    async def run(self, work: Callable[[], T]) -> T:
        return await self._thread.run(work)

    async def sync(self) -> None:
        await catalogue.sync()

    async def aclose(self) -> None:
        await self._thread.aclose()

"""Where rows come from: the database, asked in a thread of its own, so that the event loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from django.conf import settings
from django.utils import timezone

from scheduler import catalogue
from scheduler.database_thread import DatabaseThread
from scheduler.gpus import Gpu, GpuReader, GpuSources, local_provider
from scheduler.models import Node, OperatorRequest, traffic
from scheduler.policy.hints import Workflow
from scheduler.policy.prefetch import Predictor
from scheduler.policy.warming import Read
from scheduler.residency import past, rows
from scheduler.residency.past import Past
from scheduler.residency.rows import Reading, Rows

T = TypeVar("T")
MOST_REQUESTS = 100  # taken at one look


class Source(Protocol):
    """Coroutines; all raise what the database raises."""

    async def rows(self, known: int | None) -> Rows | None:
        """The rows, or None when their revision is still the `known` one."""

    async def readings(self) -> dict[str, Reading]:
        """Free VRAM by node, newest readings."""

    async def requests(self) -> list[OperatorRequest]:
        """What operators asked for and nobody has carried out yet, oldest first."""

    async def past(self, make: Callable[[], Predictor], workflows: Iterable[Workflow]) -> Past:
        """What is on record of the time before, which takes seconds."""

    async def reads(self, node: str, model: str, since: float, most: int) -> list[Read]:
        """What the first requests that a resident answered since then read of their prompts."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work`, which may use the database, where it blocks nobody."""

    async def sync(self) -> None:
        """Make the catalogue equal to what the nodes hold."""

    async def look_at_gpus(self) -> None:
        """Read the GPUs of all nodes, so that `readings` has something new."""

    async def tell_likely(self, url: str, models: Sequence[str]) -> int:
        """Tell an agent which models are likely; the bytes that it may fill with them. Raises
        GpusUnreadable."""

    async def aclose(self) -> None: ...


class DatabaseSource:
    """See Source."""

    def __init__(self) -> None:
        self._thread = DatabaseThread("scheduler-rows")
        self._gpus: GpuSources | None = None

    async def rows(self, known: int | None) -> Rows | None:
        return await self._thread.run(lambda: None if known == rows.revision() else rows.read())

    async def readings(self) -> dict[str, Reading]:
        return await self._thread.run(rows.readings)

    async def requests(self) -> list[OperatorRequest]:
        return await self._thread.run(lambda: list(OperatorRequest.objects.waiting()[:MOST_REQUESTS]))

    async def past(self, make: Callable[[], Predictor], workflows: Iterable[Workflow]) -> Past:
        async with DatabaseThread("scheduler-past") as thread:  # of its own: rows must not wait for it
            return await thread.run(past.read, make, workflows, traffic.records())

    async def reads(self, node: str, model: str, since: float, most: int) -> list[Read]:
        return await self._thread.run(past.reads, traffic.records(), node, model, since, most)

    async def run(self, work: Callable[[], T]) -> T:
        return await self._thread.run(work)

    async def sync(self) -> None:
        await catalogue.sync()

    async def look_at_gpus(self) -> None:
        sources = await self._sources()
        nodes = await self._thread.run(lambda: list(Node.objects.enabled()))
        found = await sources.read_all(nodes)
        await self._thread.run(keep, nodes, found)

    async def tell_likely(self, url: str, models: Sequence[str]) -> int:
        return await (await self._sources()).tell_likely(url, models)

    async def _sources(self) -> GpuSources:
        if self._gpus is None:
            provider = await asyncio.to_thread(local_provider)
            self._gpus = self._gpus or GpuSources(GpuReader(provider), token=settings.AGENT_TOKEN)
        return self._gpus

    async def aclose(self) -> None:
        if self._gpus is not None:
            await self._gpus.aclose()
        await self._thread.aclose()


def keep(nodes: Sequence[Node], found: Mapping[str, Sequence[Gpu]]) -> None:
    """Write the readings into the nodes' rows. A node without one keeps its last, which grows old."""
    now = timezone.now()
    for node in nodes:
        if node.name in found:
            node.read_gpus([gpu.as_json() for gpu in found[node.name]], now)

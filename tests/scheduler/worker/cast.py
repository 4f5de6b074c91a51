"""Who plays in the worker's tests: rows without a database, a recorder that keeps, clients of the board."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from scheduler.board.interface import Board, Refusal, Seat, Ticket
from scheduler.models import OperatorRequest
from scheduler.nodes.replies import read_show, read_tags
from scheduler.policy import shape
from scheduler.policy.config import DEFAULT, Config
from scheduler.policy.hints import Workflow
from scheduler.policy.prediction import Arrival
from scheduler.policy.prefetch import Predictor
from scheduler.policy.state import Model, Pin
from scheduler.policy.warming import Read
from scheduler.residency.pace import Pace
from scheduler.residency.past import Past, Unsettled
from scheduler.residency.records import Entry, Record
from scheduler.residency.rows import NodeRow, Reading, Rows
from scheduler.simulator.process import NodeProcess
from scheduler.worker import Worker

T = TypeVar("T")
GIB = 2**30
QUICK = Pace(
    tick_s=0.2,
    arrivals_s=0.02,
    likely_s=0.05,
    warm_s=0.05,
    observe_s=0.1,
    ps_s=1.0,
    standby_s=0.05,
    renew_s=0.2,
    operator_s=0.05,
    rows_s=0.05,
    drain_s=5.0,
    unload_s=5.0,
    confirm_s=2.0,
    recovery_s=0.05,
    load_floor_s=5.0,
    unmeasured_gbps=20.0,
    probe_s=0.05,
    probe_most_s=0.2,
    quarantine_s=0.5,
    failure_s=1.0,
    stop_s=0.1,
)
# On demand alone: what a test counts must not depend on what is foreseen.
QUICKLY = replace(DEFAULT, min_residency_s=0.0, line_bound_s=0.3, prefetch="off")
counter = itertools.count(1)


class Notes:
    """A recorder that only keeps."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def start(self) -> None:
        pass

    def put(self, record: Record) -> None:
        self.records.append(record)

    def stop(self, timeout_s: float = 2.0) -> None:
        pass

    def ledger(self, kind: str = "", **facts: object) -> list[Entry]:
        entries = [r for r in self.records if isinstance(r, Entry) and kind in ("", r.kind)]
        return [e for e in entries if all(getattr(e, name) == value for name, value in facts.items())]


class Table:
    """Rows as a test writes them. `put` counts a new revision."""

    def __init__(self, rows: Rows) -> None:
        self._rows = replace(rows, number=1)
        self.asked: list[OperatorRequest] = []
        self.told: dict[str, list[str]] = {}
        self.answered: list[tuple[float, Read]] = []
        self.requests_before: list[Arrival] = []
        self.unsettled: tuple[Unsettled, ...] = ()

    @property
    def now(self) -> Rows:
        return self._rows

    def put(self, **changes: Any) -> None:
        self._rows = replace(self._rows, **changes, number=self._rows.number + 1)

    async def rows(self, known: int | None) -> Rows | None:
        return None if known == self._rows.number else self._rows

    async def readings(self) -> dict[str, Reading]:
        return {}

    async def past(self, make: Callable[[], Predictor], workflows: Iterable[Workflow]) -> Past:
        """As the database tells it, from `self.requests_before`."""
        predictor = make()
        for each in self.requests_before:
            predictor.observe(each.at, each.key, each.model)
        return Past(predictor=predictor, requests=len(self.requests_before), unsettled=self.unsettled)

    async def reads(self, node: str, model: str, since: float, most: int) -> list[Read]:
        return [read for at, read in self.answered if at >= since][:most]

    async def tell_likely(self, url: str, models: Sequence[str]) -> int:
        self.told[url] = list(models)
        return 1

    async def requests(self) -> list[OperatorRequest]:
        return self.asked

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def look_at_gpus(self) -> None: ...

    async def sync(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def survey(nodes: dict[str, NodeProcess], *, pins: tuple[Pin, ...] = (), **each: Any) -> Rows:
    """The rows that a catalogue sync of these nodes would make. `each` goes into every node's row."""
    rows = {
        name: NodeRow(
            pk=number, name=name, url=node.url, **{"vram_bytes": node.state()["vram"], "slots": 2, **each}
        )
        for number, (name, node) in enumerate(nodes.items(), start=1)
    }
    models: dict[str, Model] = {}
    for name, node in nodes.items():
        for model in _models(name, node):
            known = models.get(model.name)
            models[model.name] = (
                replace_digests(model, {**known.digests, **model.digests}) if known else model
            )
    return Rows(nodes=rows, models=models, always=pins)


def replace_digests(model: Model, digests: dict[str, str]) -> Model:
    model.digests = digests
    return model


def _models(name: str, node: NodeProcess) -> list[Model]:
    with httpx.Client(base_url=node.url, trust_env=False) as client:
        tags = read_tags(client.get("/api/tags").json())
        shown = {
            tag.name: read_show(client.post("/api/show", json={"model": tag.name, "verbose": True}).json())
            for tag in tags
        }
    return [
        Model(
            name=tag.name,
            digests={name: tag.digest},
            weights_bytes=tag.size_bytes,
            shape=shape.read(shown[tag.name].model_info),
            trained_ctx=shown[tag.name].trained_ctx,
            num_ctx=4096,
        )
        for tag in tags
    ]


@asynccontextmanager
async def working(
    board: Board, source: Any, *, pace: Pace = QUICK, config: Config = QUICKLY, notes: Notes | None = None
) -> AsyncIterator[Worker]:
    """A worker that has settled."""
    worker = Worker(board, source=source, recorder=notes or Notes(), pace=pace, config=config)
    await worker.start()
    try:
        await asyncio.wait_for(worker.settled.wait(), 10)
        yield worker
    finally:
        await worker.stop()


def ticket(model: str, *, num_ctx: int = 0, key: str = "key", wait_s: float = 20.0, **more: Any) -> Ticket:
    return Ticket(
        id=f"t{next(counter)}",
        holder="bridge",
        key=key,
        model=model,
        num_ctx=num_ctx,
        tokens=10,
        deadline=time.time() + wait_s,
        **more,
    )


async def seat(board: Board, model: str, **more: Any) -> Seat | Refusal:
    """Ask for a seat and wait for it."""
    wanted = ticket(model, **more)
    answer = await board.admit(wanted)
    if isinstance(answer, Seat | Refusal):
        return answer
    until = time.monotonic() + 20.0
    while time.monotonic() < until:
        await board.renew(wanted.holder)
        outcome = await board.wait(wanted.id, 0.5)
        if outcome is not None:
            return outcome
    raise AssertionError(f"{model} came neither to a seat nor to a refusal")


async def seated(board: Board, model: str, **more: Any) -> Seat:
    outcome = await seat(board, model, **more)
    assert isinstance(outcome, Seat), outcome
    return outcome


async def loadable(board: Board, model: str, **more: Any) -> bool:
    """Whether a request for the model is answered now; the seat is given back."""
    outcome = await seat(board, model, **more)
    if isinstance(outcome, Seat):
        await board.settle(outcome.ticket, 1)
    return isinstance(outcome, Seat)


async def served(board: Board, model: str, **more: Any) -> Seat:
    """A seat, taken and given back."""
    mine = await seated(board, model, **more)
    await board.settle(mine.ticket, 1)
    return mine


async def eventually(check: Callable[[], Any] | Callable[[], Awaitable[Any]], within_s: float = 10.0) -> Any:
    """Wait until `check` is true; its value. What is waited for happens in another process."""
    until = time.monotonic() + within_s
    while True:
        value = check()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < until, f"not within {within_s} s"
        await asyncio.sleep(0.02)

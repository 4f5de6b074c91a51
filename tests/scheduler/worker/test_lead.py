"""One leads, the other takes over: two workers on one board, and what a deposed one may not do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from scheduler.board.interface import BoardDown
from scheduler.board.memory import MemoryBoard
from scheduler.policy.decisions import Load
from scheduler.policy.state import Profile
from scheduler.residency.lead import Deposed
from scheduler.residency.pace import Pace
from scheduler.residency.records import NodeSeen
from scheduler.worker import Worker
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import (
    QUICK,
    QUICKLY,
    Notes,
    Table,
    eventually,
    seated,
    served,
    survey,
    ticket,
    working,
)

pytestmark = pytest.mark.asyncio


class Line:
    """A board as one process sees it: it can be cut off (the process is stopped), or answer with an error."""

    def __init__(self, board: MemoryBoard) -> None:
        self._board = board
        self._up = asyncio.Event()
        self._up.set()
        self.broken = False

    def cut(self) -> None:
        self._up.clear()

    def mend(self) -> None:
        self._up.set()
        self.broken = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._up.wait()
            if self.broken:
                raise BoardDown("no answer")
            return await getattr(self._board, name)(*args, **kwargs)

        return call


async def start(
    stack: AsyncExitStack, board: Any, table: Table, pace: Pace = QUICK, notes: Notes | None = None
) -> Worker:
    worker = Worker(board, source=table, recorder=notes or Notes(), pace=pace, config=QUICKLY)
    await worker.start()
    stack.push_async_callback(worker.stop)
    return worker


async def test_another_leads_within_five_seconds_and_keeps_what_is_loaded(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2,b=2", slots=2), MemoryBoard()
    table = Table(survey({"n1": node}))
    usual = Pace(recovery_s=0.05)
    async with AsyncExitStack() as stack:
        line = Line(board)
        first = await start(stack, line, table, usual)
        await asyncio.wait_for(first.settled.wait(), 5)
        notes = Notes()
        second = await start(stack, board, table, usual, notes)
        await served(board, "a:latest")
        assert notes.records == [], "who stands by writes nothing"
        assert second.lead.epoch is None
        await eventually(lambda: second.not_ready() == "", 3)
        line.cut()
        began = time.monotonic()
        assert (await seated(board, "a:latest")).load == "warm", "warm traffic does not need a leader"
        mine = await seated(board, "b:latest")
        assert time.monotonic() - began < 5
        assert mine.load == "cold"
        assert (await seated(board, "a:latest")).load == "warm"
        line.mend()
        await eventually(lambda: first.lead.epoch is None, 3)
        assert "n1" in {r.node for r in notes.records if isinstance(r, NodeSeen)}, "it says how each node is"
        causes = {r.model: r.cause for r in await board.residents()}
        assert causes == {"a:latest": "demand", "b:latest": "demand"}, "it inherits why each was loaded"
    assert node.report()["loads_total"] == 2


async def test_one_that_was_deposed_sends_no_command(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2"), MemoryBoard()
    never = replace(QUICK, renew_s=60.0, tick_s=60.0)
    async with working(board, Table(survey({"n1": node})), pace=never) as worker:
        await board.resign(worker.holder)
        assert await board.lead("another") == 2
        load = Load(
            node="n1",
            model="a:latest",
            profile=Profile(num_ctx=4096),
            bytes=1,
            expected_s=1.0,
            cause="operator",
            reason="A decision from before.",
        )
        assert worker.actions.begin(load)
        await eventually(lambda: not worker.fleet.busy)
        assert worker.lead.epoch is None
        with pytest.raises(Deposed):
            await worker.publish()
    assert node.report()["loads_total"] == 0


async def test_a_publication_from_a_stale_epoch_is_refused(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2"), MemoryBoard()
    never = replace(QUICK, renew_s=60.0, tick_s=60.0)
    async with working(board, Table(survey({"n1": node})), pace=never) as worker:
        await board.publish([], loadable={"other:latest": None}, epoch=7)
        with pytest.raises(Deposed):
            await worker.publish()
        assert worker.lead.epoch is None


async def test_stopping_hands_the_lead_over_at_once(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2"), MemoryBoard()
    table = Table(survey({"n1": node}))
    async with AsyncExitStack() as stack:
        second = None
        async with working(board, table):
            second = await start(stack, board, table)
            await asyncio.sleep(0)
        await asyncio.wait_for(second.settled.wait(), 1)


async def test_while_the_board_is_away_a_load_under_way_goes_on(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2", load_fixed=0.5), MemoryBoard()
    async with AsyncExitStack() as stack:
        line = Line(board)
        worker = await start(stack, line, Table(survey({"n1": node})))
        await asyncio.wait_for(worker.settled.wait(), 5)
        wanted = ticket("a:latest")
        await board.admit(wanted)
        await eventually(lambda: node.state()["loading"])
        line.broken = True
        await eventually(lambda: node.state()["residents"], 3)
        line.mend()
        assert await board.wait(wanted.id, 5)
    report = node.report()
    assert (report["loads_total"], report["aborted_loads_total"]) == (1, 0)


async def test_a_board_that_lost_everything_is_filled_from_the_nodes(fake_node: FakeNode) -> None:
    node = fake_node("a=2")
    table = Table(survey({"n1": node}))
    async with AsyncExitStack() as stack:
        line = Line(MemoryBoard())
        worker = await start(stack, line, table)
        await asyncio.wait_for(worker.settled.wait(), 5)
        await served(line._board, "a:latest")
        line._board = MemoryBoard()
        await eventually(lambda: residents(line._board), 2)
        assert (await served(line._board, "a:latest")).load == "warm"
    assert node.report()["loads_total"] == 1


async def residents(board: MemoryBoard) -> list[str]:
    return [r.model for r in await board.residents()]

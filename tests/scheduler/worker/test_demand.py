"""A request for a model that is not loaded: the worker loads it, once, with its profile."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.board.interface import Seat
from scheduler.board.memory import MemoryBoard
from scheduler.worker import Worker
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import QUICK, QUICKLY, Notes, Table, seated, served, survey, ticket, working

pytestmark = pytest.mark.asyncio


async def test_a_cold_request_gets_a_seat_on_a_loaded_model(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=2", slots=2), MemoryBoard(), Notes()
    async with working(board, Table(survey({"n1": node})), notes=notes):
        mine = await seated(board, "a:latest")
    assert (mine.node, mine.load, mine.num_ctx) == ("n1", "cold", 4096)
    assert mine.options == {"num_ctx": 4096}
    (resident,) = node.state()["residents"]
    assert resident["num_ctx"] == 4096
    assert resident["keep_alive_s"] is None, "the scheduler alone says when it goes"
    (entry,) = notes.ledger("load")
    assert (entry.model, entry.node, entry.cause, entry.key, entry.outcome) == (
        "a:latest",
        "n1",
        "demand",
        "key",
        "ok",
    )


async def test_it_is_ready_once_it_has_looked_at_every_node_and_published(fake_node: FakeNode) -> None:
    source = Table(survey({"n1": fake_node("a=2")}))
    worker = Worker(MemoryBoard(), source=source, recorder=Notes(), pace=QUICK, config=QUICKLY)
    assert worker.not_ready() == "it does not run"
    await worker.start()
    try:
        assert worker.not_ready() == "it has not read its rows yet; is the database reachable?"
        await asyncio.wait_for(worker.settled.wait(), 5)
        assert worker.not_ready() == ""
    finally:
        await worker.stop()


async def test_many_who_wait_share_one_load(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2", slots=4, load_fixed=0.3), MemoryBoard()
    async with working(board, Table(survey({"n1": node}, slots=4))):
        seats = await asyncio.gather(*(served(board, "a:latest") for _ in range(40)))
    assert {seat.node for seat in seats} == {"n1"}
    report = node.report()
    assert (report["loads_total"], report["reloads_total"], report["aborted_loads_total"]) == (1, 0, 0)


async def test_a_client_that_leaves_does_not_abort_the_load(fake_node: FakeNode) -> None:
    node, board = fake_node("a=2", load_fixed=0.5), MemoryBoard()
    async with working(board, Table(survey({"n1": node}))):
        leaving = [ticket("a:latest") for _ in range(20)]
        for each in leaving:
            await board.admit(each)
        while not node.state()["loading"]:
            await asyncio.sleep(0.01)
        for each in leaving:
            await board.settle(each.id, None)
        assert isinstance(await seated(board, "a:latest"), Seat)
    report = node.report()
    assert (report["loads_total"], report["aborted_loads_total"]) == (1, 0)

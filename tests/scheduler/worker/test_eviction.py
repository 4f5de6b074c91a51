"""Room for one: what goes, what stays, and that nothing busy or pinned is touched."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.board.memory import MemoryBoard
from scheduler.policy.state import Pin
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import (
    Notes,
    Table,
    eventually,
    seat,
    seated,
    served,
    survey,
    ticket,
    working,
)

pytestmark = pytest.mark.asyncio
ROOM_FOR_TWO = {"vram_gib": 12}  # of three models of 4 GB
THREE = "a=4,b=4,c=4"


async def test_one_idle_model_goes_and_the_node_itself_evicts_none(fake_node: FakeNode) -> None:
    node, board, notes = fake_node(THREE, **ROOM_FOR_TWO), MemoryBoard(), Notes()
    async with working(board, Table(survey({"n1": node})), notes=notes):
        for model in ("a:latest", "b:latest", "c:latest"):
            await served(board, model)
        left = {r.model for r in await board.residents()}
    assert len(left) == 2
    report = node.report()
    assert (report["evictions_total"], report["reloads_total"], report["unloads_total"]) == (0, 0, 1)
    (entry,) = notes.ledger("evict")
    assert (entry.node, entry.cause, entry.outcome) == ("n1", "demand", "ok")
    assert {entry.model} == {"a:latest", "b:latest", "c:latest"} - left


async def test_what_generates_is_drained_not_evicted(fake_node: FakeNode) -> None:
    node, board = fake_node(THREE, **ROOM_FOR_TWO), MemoryBoard()
    async with working(board, Table(survey({"n1": node}))):
        busy = [await seated(board, "a:latest"), await seated(board, "b:latest")]
        third = asyncio.create_task(seated(board, "c:latest"))
        await eventually(lambda: draining(board))
        assert {r["model"] for r in node.state()["residents"]} == {"a:latest", "b:latest"}
        for each in busy:
            await board.settle(each.ticket, 1)
        assert (await third).node == "n1"
    assert node.report()["evictions_total"] == 0


async def draining(board: MemoryBoard) -> bool:
    return any(not resident.accepting for resident in await board.residents())


async def test_a_pinned_model_stays_and_is_loaded_before_anyone_asks(fake_node: FakeNode) -> None:
    node, board = fake_node(THREE, **ROOM_FOR_TWO), MemoryBoard()
    rows = survey({"n1": node}, pins=(Pin(model="a:latest", name="always"),))
    async with working(board, Table(rows)):
        await eventually(lambda: {r["model"] for r in node.state()["residents"]} == {"a:latest"})
        for model in ("b:latest", "c:latest", "b:latest", "c:latest"):
            await served(board, model)
        assert "a:latest" in {r.model for r in await board.residents()}
    assert "a:latest" not in {e["model"] for e in node.report()["unloads"]}


async def test_a_model_that_fits_nowhere_is_refused_with_the_numbers(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("huge=40,a=4", vram_gib=12), MemoryBoard(), Notes()
    rows = survey({"n1": node})
    async with working(board, Table(rows), notes=notes):
        refusal = await seat(board, "huge:latest")
    assert refusal.reason == "no_room"
    assert "12.9 GB" in refusal.detail
    assert node.report()["loads_total"] == 0
    assert notes.ledger("refuse", model="huge:latest")


async def test_a_larger_context_is_a_planned_reload_after_draining(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4@32768", vram_gib=24), MemoryBoard(), Notes()
    async with working(board, Table(survey({"n1": node})), notes=notes):
        small = await seated(board, "a:latest")
        wide = ticket("a:latest", num_ctx=9000)
        await board.admit(wide)
        await eventually(lambda: draining(board))
        assert node.state()["residents"][0]["num_ctx"] == 4096
        await board.settle(small.ticket, 1)
        grown = await board.wait(wide.id, 10)
        assert grown.num_ctx == 16384
        assert (await seated(board, "a:latest")).num_ctx == 16384, "it does not shrink for a small request"
    report = node.report()
    assert (report["loads_total"], report["unloads_total"], report["reloads_total"]) == (2, 1, 0)
    assert notes.ledger("reload", cause="reload")

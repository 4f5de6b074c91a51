"""Nodes that die, hang, run out of memory, or are used by others behind the scheduler's back."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import httpx
import pytest

from scheduler.board.interface import Refusal, Seat
from scheduler.board.memory import MemoryBoard
from scheduler.policy.state import Pin
from scheduler.residency.pace import Pace
from scheduler.residency.rows import NodeRow
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import (
    QUICK,
    Notes,
    Table,
    eventually,
    loadable,
    seat,
    seated,
    served,
    survey,
    working,
)

pytestmark = pytest.mark.asyncio


async def on(board: MemoryBoard, node: str) -> set[str]:
    return {r.model for r in await board.residents() if r.node == node}


async def call(node: NodeProcess, body: dict[str, object]) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False, timeout=10) as client:
        (await client.post("/api/generate", json={"stream": False, **body})).raise_for_status()


class TestANodeThatDies:
    async def test_its_residents_vanish_and_others_take_over(self, fake_node: FakeNode) -> None:
        nodes = {"n1": fake_node("a=2"), "n2": fake_node("a=2")}
        board = MemoryBoard()
        async with working(board, Table(survey(nodes))):
            first = await served(board, "a:latest")
            nodes[first.node].kill()
            other = "n2" if first.node == "n1" else "n1"
            await eventually(lambda: gone(board, first.node), 2)
            assert (await served(board, "a:latest")).node == other

    async def test_it_is_used_again_within_seconds(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("a=2"), MemoryBoard(), Notes()
        async with working(board, Table(survey({"n1": node})), notes=notes) as worker:
            await served(board, "a:latest")
            port = node.port
            node.kill()
            await eventually(lambda: not worker.fleet.sights["n1"].up, 2)
            assert isinstance(await seat(board, "a:latest"), Refusal)
            fake_node("a=2", port=port)
            await eventually(lambda: worker.fleet.sights["n1"].up, 3)
            await eventually(lambda: loadable(board, "a:latest"), 2)
            assert (await served(board, "a:latest")).node == "n1"
        assert notes.ledger("recover", node="n1")

    async def test_its_death_during_a_load_is_seen_at_once(self, fake_node: FakeNode) -> None:
        nodes = {"n1": fake_node("a=2", load_fixed=1), "n2": fake_node("a=2", load_fixed=1)}
        board = MemoryBoard()
        async with working(board, Table(survey(nodes)), pace=quick(observe_s=60.0, tick_s=60.0)) as worker:
            waiting = asyncio.create_task(seated(board, "a:latest"))
            busy = await eventually(lambda: next(iter(worker.fleet.busy), ""))
            await eventually(lambda: nodes[busy].state()["loading"])
            nodes[busy].kill()
            assert (await waiting).node != busy
            assert not worker.fleet.sights[busy].up


async def gone(board: MemoryBoard, node: str) -> bool:
    return not await on(board, node)


class TestANodeWhoseLoadsHang:
    async def test_it_goes_into_quarantine_and_the_load_goes_elsewhere(self, fake_node: FakeNode) -> None:
        nodes = {"n1": fake_node("a=2,b=2"), "n2": fake_node("a=2,b=2")}
        board, notes = MemoryBoard(), Notes()
        pace = quick(load_floor_s=0.5, quarantine_s=30.0)
        async with working(board, Table(survey(nodes)), pace=pace, notes=notes) as worker:
            hot = await served(board, "b:latest")
            other = "n2" if hot.node == "n1" else "n1"
            nodes[other].arm("wedge")
            mine = await seated(board, "a:latest")  # goes to the empty node first
            assert mine.node == hot.node
            assert worker.fleet.sights[other].quarantined
            assert (await seated(board, "b:latest")).node == hot.node
        (entry,) = notes.ledger("quarantine")
        assert entry.node == other

    async def test_a_probe_brings_it_back(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("a=2,b=1"), MemoryBoard(), Notes()
        pace = quick(load_floor_s=0.4, quarantine_s=0.3)
        async with working(board, Table(survey({"n1": node})), pace=pace, notes=notes) as worker:
            node.arm("wedge")
            refusal = await seat(board, "a:latest")
            assert isinstance(refusal, Refusal)
            assert (refusal.reason, "hang" in refusal.detail) == ("load_failed", True)
            assert worker.fleet.sights["n1"].quarantined
            node.disarm()
            await eventually(lambda: not worker.fleet.sights["n1"].quarantined, 5)
            assert (await served(board, "a:latest")).node == "n1"
        assert notes.ledger("recover", node="n1")


class TestALoadThatRunsOutOfMemory:
    async def test_it_is_tried_again_with_more_room(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("a=2,b=2", vram_gib=24), MemoryBoard(), Notes()
        async with working(board, Table(survey({"n1": node})), notes=notes):
            await served(board, "a:latest")
            node.arm("oom_at_load", model="b", count=2)  # Ollama tries twice by itself
            assert isinstance(await seat(board, "b:latest"), Seat)
        outcomes = [e.outcome for e in notes.ledger("load", model="b:latest")]
        assert outcomes == ["out_of_memory", "ok"]

    async def test_the_second_time_it_is_refused_with_the_numbers(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("b=2", vram_gib=24), MemoryBoard(), Notes()
        async with working(board, Table(survey({"n1": node})), notes=notes):
            node.arm("oom_at_load", model="b")
            refusal = await seat(board, "b:latest")
            assert isinstance(refusal, Refusal)
            assert refusal.reason == "load_failed"
            assert "25.8 GB" in refusal.detail
            loads = len(notes.ledger("load", model="b:latest"))
            assert loads == 2
            assert isinstance(await seat(board, "b:latest"), Refusal)
            assert len(notes.ledger("load", model="b:latest")) == loads, "it is left alone for a while"
            node.disarm()
            await eventually(lambda: loadable(board, "b:latest"), 5)

    async def test_a_grown_context_that_does_not_fit_blocks_no_smaller_one(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("b=2@32768", vram_gib=24), MemoryBoard(), Notes()
        async with working(board, Table(survey({"n1": node})), notes=notes):
            node.arm("oom_at_load", model="b")
            refusal = await seat(board, "b:latest", num_ctx=9000)
            assert isinstance(refusal, Refusal)
            assert (refusal.reason, "fits with a context of" in refusal.detail) == ("no_room", True)
            node.disarm()
            assert (await served(board, "b:latest")).num_ctx < 9000
            await eventually(lambda: loadable(board, "b:latest", num_ctx=9000), 5)
        outcomes = [e.outcome for e in notes.ledger(model="b:latest") if e.kind in ("load", "reload")]
        assert outcomes[:2] == ["out_of_memory", "out_of_memory"]


async def test_an_unload_that_is_late_is_still_ours(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=8), MemoryBoard(), Notes()
    async with working(board, Table(survey({"n1": node})), pace=quick(unload_s=0.3), notes=notes):
        await served(board, "a:latest")
        node.arm("stuck_stopping", model="a", count=1)
        waiting = asyncio.create_task(served(board, "b:latest"))
        await eventually(lambda: notes.ledger("evict", outcome="failed"))
        node.disarm()
        assert (await waiting).node == "n1"
        (entry,) = notes.ledger("evict", model="a:latest", outcome="ok")
        assert entry.cause == "demand"
        assert not notes.ledger("evict", cause="foreign")


class TestOthersWhoUseTheNode:
    async def test_a_pinned_model_that_a_client_unloads_comes_back(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("a=2"), MemoryBoard(), Notes()
        rows = survey({"n1": node}, pins=(Pin(model="a:latest", name="always"),))
        async with working(board, Table(rows), notes=notes):
            await eventually(lambda: has(board, "n1", "a:latest"))
            await call(node, {"model": "a", "keep_alive": 0})
            await eventually(lambda: node.report()["loads_total"] == 2, 3)
            await eventually(lambda: has(board, "n1", "a:latest"))
        assert notes.ledger("evict", cause="foreign")

    async def test_a_model_that_a_client_loaded_is_adopted_as_it_is(self, fake_node: FakeNode) -> None:
        node, board, notes = fake_node("a=2@32768"), MemoryBoard(), Notes()
        async with working(board, Table(survey({"n1": node})), notes=notes):
            await call(node, {"model": "a", "options": {"num_ctx": 6000}})
            await eventually(lambda: has(board, "n1", "a:latest"))
            mine = await served(board, "a:latest")
            assert (mine.num_ctx, mine.options, mine.load) == (6000, {"num_ctx": 6000}, "warm")
            kept = await eventually(lambda: kept_for_ever(node))
            assert kept
        report = node.report()
        assert (report["loads_total"], report["reloads_total"]) == (1, 0)
        assert notes.ledger("load", cause="found")


async def has(board: MemoryBoard, node: str, model: str) -> bool:
    return model in await on(board, node)


def kept_for_ever(node: NodeProcess) -> bool:
    return all(r["keep_alive_s"] is None for r in node.state()["residents"])


def quick(**changes: float) -> Pace:
    return replace(QUICK, **changes)


async def test_a_node_that_is_added_and_never_answers_keeps_nobody_waiting(fake_node: FakeNode) -> None:
    board, table = MemoryBoard(), Table(survey({"n1": fake_node("a=2,b=2")}))
    async with working(board, table) as worker:
        await served(board, "a:latest")
        with socket.create_server(("127.0.0.1", 0)) as mute:
            url = f"http://127.0.0.1:{mute.getsockname()[1]}"
            table.put(nodes={**table.now.nodes, "n2": NodeRow(pk=2, name="n2", url=url)})
            await eventually(lambda: "n2" in worker.fleet.sights)
            assert (await served(board, "b:latest")).node == "n1"
            assert not worker.fleet.sights["n2"].seen


async def test_a_slow_node_keeps_no_other_waiting(fake_node: FakeNode) -> None:
    nodes = {"n1": fake_node("a=2"), "n2": fake_node("b=2")}
    board = MemoryBoard()
    async with working(board, Table(survey(nodes))):
        nodes["n1"].arm("latency", value=0.6)
        began = asyncio.get_running_loop().time()
        await served(board, "b:latest")
        assert asyncio.get_running_loop().time() - began < 0.5

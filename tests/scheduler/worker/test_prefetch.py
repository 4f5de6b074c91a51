"""The worker loads ahead: on idle nodes, out of the way of demand, and accounts for each prefetch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from scheduler.board.interface import Board
from scheduler.board.memory import MemoryBoard
from scheduler.policy.hints import Workflow
from scheduler.policy.prediction import Arrival
from scheduler.policy.state import Pin
from scheduler.residency.past import Unsettled
from scheduler.residency.records import Settled
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import (
    QUICKLY,
    Notes,
    Table,
    eventually,
    loadable,
    seated,
    served,
    survey,
    ticket,
    working,
)

pytestmark = pytest.mark.asyncio

AHEAD = replace(QUICKLY, prefetch="value")
TIGHT = {"vram_gib": 9, "slots": 2}  # room for one of two models of 4 GB


def prefetched(notes: Notes) -> list[str]:
    return [entry.model for entry in notes.ledger("prefetch")]


def settled(notes: Notes) -> list[tuple[str, str]]:
    return [(r.model, r.outcome) for r in notes.records if isinstance(r, Settled)]


def saved(notes: Notes) -> list[float]:
    return [r.saved_s for r in notes.records if isinstance(r, Settled)]


def habit(*models: str, times: int = 20, gap_s: float = 5.0, key: str = "key") -> list[Arrival]:
    """A key that used these models in turns, until yesterday: nobody expects it before it comes."""
    names = [f"{name}:latest" for name in models] * times
    start = time.time() - 86_400 - gap_s * len(names)
    return [Arrival(at=start + i * gap_s, key=key, model=name) for i, name in enumerate(names)]


async def shown(board: Board) -> dict[str, str]:
    return {each.model: each.cause for each in await board.residents()}


async def is_shown(board: Board, model: str) -> bool:
    return (await shown(board)).get(model) == "prefetch"


def table(node: object, arrivals: Iterable[Arrival] = (), **rows: object) -> Table:
    source = Table(replace(survey({"n1": node}), **rows))  # type: ignore[arg-type, dict-item]
    source.requests_before = list(arrivals)
    return source


async def test_what_a_key_uses_next_is_loaded_before_it_asks(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24, load_fixed=0.2), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", "b")), config=AHEAD, notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: is_shown(board, "b:latest"))
        seat = await served(board, "b:latest")
        assert seat.load == "prefetched"
        assert seat.queued_s < 0.1
        await eventually(lambda: settled(notes) == [("b:latest", "hit")])
    assert prefetched(notes) == ["b:latest"]
    (entry,) = notes.ledger("prefetch")
    assert entry.outcome == "", "open until somebody came"
    assert "within" in entry.reason
    assert saved(notes) == [pytest.approx(entry.seconds)]


async def test_a_hint_is_enough_where_nothing_was_learned(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", times=40)), config=AHEAD, notes=notes):
        await served(board, "a:latest", next_models=("b:latest",))
        await eventually(lambda: is_shown(board, "b:latest"))


async def test_a_workflow_is_followed_from_the_moment_it_is_registered(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    source = table(node, habit("a", times=40))
    async with working(board, source, config=AHEAD, notes=notes) as worker:
        source.put(workflows=(Workflow(name="w", models=("a:latest", "b:latest")),))
        await eventually(lambda: worker.fleet.rows.workflows)
        await served(board, "a:latest")
        await eventually(lambda: is_shown(board, "b:latest"))


async def test_a_request_during_the_load_is_late_and_waits_for_the_rest_only(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24, load_fixed=1.0), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", "b")), config=AHEAD, notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: node.state()["loading"])
        await served(board, "b:latest")
        await eventually(lambda: settled(notes) == [("b:latest", "late")])
    assert node.report()["loads_total"] == 2
    (entry,) = notes.ledger("prefetch")
    assert 0 < saved(notes)[0] < (entry.seconds or 0.0)


async def test_demand_for_another_model_calls_a_prefetch_off(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4,c=4", vram_gib=9, load_fixed=0.05), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", "b")), config=AHEAD, notes=notes) as worker:
        await served(board, "a:latest")
        node.arm("slow_load", "b", value=60)
        worker.fleet.learning._load_s["n1", "b:latest"] = 20.0  # it was as slow before
        await eventually(lambda: node.state()["loading"])
        began = time.monotonic()
        await seated(board, "c:latest")
        assert time.monotonic() - began < 5.0, "it did not wait for the prefetch"
    report = node.report()
    assert report["aborted_loads_total"] == 1
    (entry,) = notes.ledger("prefetch")
    assert (entry.model, entry.cause, entry.outcome) == ("b:latest", "preempted", "wasted")
    assert "1 wait for c:latest" in entry.reason
    assert (entry.saved_s or 0.0) < 0


async def test_nothing_is_prefetched_over_a_pin(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", **TIGHT), MemoryBoard(), Notes()
    source = table(node, habit("a", "b"), always=(Pin(model="a:latest"),))
    async with working(board, source, config=AHEAD, notes=notes) as worker:
        await eventually(lambda: worker.fleet.book.get("n1", "a:latest"))
        for _ in range(3):
            await served(board, "a:latest")
            await worker.round()
        assert prefetched(notes) == []
        assert worker.ahead.foresight.predictor.following("key")["b:latest"] > 0.8, "it knew what came"


async def test_a_prefetch_that_nobody_came_for_is_wasted_once_it_is_gone(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4,c=4", **TIGHT), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", "b")), config=AHEAD, notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: is_shown(board, "b:latest"))
        await served(board, "c:latest", key="other")
        await eventually(lambda: settled(notes) == [("b:latest", "wasted")])
    assert saved(notes)[0] < 0


async def test_in_shadow_mode_it_decides_and_scores_but_loads_nothing(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    shadow = replace(AHEAD, prefetch_shadow=True)
    async with working(board, table(node, habit("a", "b")), config=shadow, notes=notes) as worker:
        await served(board, "a:latest")
        await eventually(lambda: worker.ahead.foresight.account.open_entries())
        assert node.report()["loads_total"] == 1
        await served(board, "b:latest")
        await eventually(lambda: notes.ledger("shadow"))
    (entry,) = notes.ledger("shadow")
    assert (entry.model, entry.outcome) == ("b:latest", "late"), "it would have been under way"
    assert prefetched(notes) == []


async def test_the_original_rule_can_be_chosen(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    seed = replace(AHEAD, prefetch="confidence")
    async with working(board, table(node, habit("a", "b")), config=seed, notes=notes) as worker:
        await served(board, "a:latest")
        await eventually(lambda: is_shown(board, "b:latest"))
        assert worker.ahead.forecast is None, "it says nothing about whom to evict"


async def test_off_means_that_nothing_is_prefetched(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    async with working(board, table(node, habit("a", "b")), config=QUICKLY, notes=notes) as worker:
        await served(board, "a:latest")
        for _ in range(3):
            await worker.round()
        assert await loadable(board, "a:latest")
    assert prefetched(notes) == []
    assert node.report()["loads_total"] == 1


async def test_a_new_leader_settles_what_the_one_before_left_open(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4,b=4", vram_gib=24), MemoryBoard(), Notes()
    source = table(node, habit("a", "b"))
    async with working(board, source, config=AHEAD, notes=notes) as worker:
        await served(board, "a:latest")
        await eventually(lambda: is_shown(board, "b:latest"))
        left = worker.fleet.book.get("n1", "b:latest")
        assert left is not None
    source.unsettled = tuple(
        Unsettled(node="n1", model=model, loaded_at=left.loaded_at, load_s=0.5)
        for model in ("b:latest", "gone:latest")
    )
    later = Notes()
    async with working(board, source, config=AHEAD, notes=later):
        await eventually(lambda: settled(later) == [("gone:latest", "wasted")])
        await served(board, "b:latest")
        await eventually(lambda: ("b:latest", "hit") in settled(later))


async def test_arrivals_that_come_while_the_past_is_read_are_not_forgotten(fake_node: FakeNode) -> None:
    node, board = fake_node("a=4,b=4", vram_gib=24), MemoryBoard()
    source = table(node, habit("a", "b", times=40))
    async with working(board, source, config=AHEAD) as worker:
        await eventually(lambda: worker.ahead.forecast)
        worker.ahead.gained()
        await board.admit(ticket("b:latest", key="late comer"))
        await worker.round()
        worker.ahead.remember(await source.past(worker.ahead.make, ()))
        assert ("late comer", "") in worker.ahead.foresight.predictor.keys  # type: ignore[attr-defined]

"""Agents with memory to spare hear which models are likely, and are not resident, on their hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.board.memory import MemoryBoard
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import QUICKLY, Table, eventually, served, survey, working
from tests.scheduler.worker.test_prefetch import habit

AGENT = "http://127.0.0.1:9410"


@pytest.mark.asyncio
async def test_an_agent_is_told_what_comes_next_and_not_what_is_loaded(fake_node: FakeNode) -> None:
    board = MemoryBoard()
    source = Table(survey({"n1": fake_node("a=2,b=2,c=2", vram_gib=24)}, agent_url=AGENT))
    source.requests_before = habit("a", "b", times=30)
    async with working(board, source):
        await served(board, "a:latest")
        await eventually(lambda: source.told.get(AGENT) == ["b:latest"])


@pytest.mark.asyncio
async def test_nodes_that_share_a_host_share_a_list_and_others_get_none(fake_node: FakeNode) -> None:
    board = MemoryBoard()
    rows = survey({"n1": fake_node("a=2"), "n2": fake_node("b=2"), "n3": fake_node("c=2")})
    nodes = {name: replace(row, agent_url="" if name == "n3" else AGENT) for name, row in rows.nodes.items()}
    source = Table(replace(rows, nodes=nodes))
    source.requests_before = habit("a", "b", "c", times=30)
    async with working(board, source, config=replace(QUICKLY, prefetch="off")):
        await served(board, "c:latest")
        await eventually(lambda: set(source.told.get(AGENT, [])) == {"a:latest", "b:latest"})
    assert set(source.told) == {AGENT}

"""Prefixes are replayed on idle slots, out of the way of requests, and what that saved is written down."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from scheduler.board.memory import MemoryBoard
from scheduler.policy.state import Profile
from scheduler.policy.warming import Read
from scheduler.residency.prefixes import Prefix
from scheduler.residency.records import Settled
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import Notes, Table, eventually, seated, served, survey, working

SYSTEM = "You are a careful assistant of a library. " * 60
TOOLS = ({"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}},)
READS = {"ollama_version": "0.33.1", "slots": 2, "prefill_tps": 4000}


def prefix(**fields: Any) -> Prefix:
    given: dict[str, Any] = {"id": 7, "route": "chat", "system": SYSTEM, "tools": TOOLS, "think": None}
    return Prefix(model="a:latest", **given | fields)


def table(node: NodeProcess, *prefixes: Prefix, slots: int = 2) -> Table:
    source = Table(survey({"n1": node}, slots=slots))
    source.put(prefixes={"a:latest": prefixes or (prefix(),)})
    return source


def real(node: NodeProcess, **fields: Any) -> dict[str, Any]:
    """A request as the relay would send it."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is Moby Dick?"}]
    body = {
        "model": "a:latest",
        "messages": messages,
        "tools": list(TOOLS),
        "stream": False,
        "keep_alive": -1,
        "options": {"num_ctx": 4096, "num_predict": 4},
        **fields,
    }
    reply: dict[str, Any] = httpx.post(f"{node.url}/api/chat", json=body, timeout=30).json()
    return reply


def outcomes(notes: Notes) -> list[tuple[str, str]]:
    return [(r.cause, r.outcome) for r in notes.records if isinstance(r, Settled) and r.kind == "warm"]


@pytest.mark.asyncio
async def test_after_a_load_the_prefix_is_there_for_the_first_request(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=2+tools", **READS), MemoryBoard(), Notes()
    source = table(node)
    async with working(board, source, notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: notes.ledger("warm"))
        (entry,) = notes.ledger("warm")
        reply = await asyncio.to_thread(real, node)
        assert reply["prompt_eval_cached_count"] > 0.9 * reply["prompt_eval_count"]
        source.answered.append((time.time(), Read(prompt_tokens=400, cached_tokens=380, seconds=0.01)))
        await eventually(lambda: outcomes(notes) == [("prefix 7", "used")])
    assert (entry.node, entry.cause, entry.outcome) == ("n1", "prefix 7", "")
    assert "2 of 2 slots are idle." in entry.reason
    report = node.report()
    assert (report["loads_total"], report["reloads_total"]) == (1, 0), "the same profile as real traffic"
    (settled,) = [r for r in notes.records if isinstance(r, Settled)]
    assert 0 < settled.saved_s <= (entry.seconds or 0.0)


@pytest.mark.asyncio
async def test_another_rendering_gains_nothing(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=2+tools", **READS), MemoryBoard(), Notes()
    async with working(board, table(node, prefix(tools=())), notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: notes.ledger("warm"))
        reply = await asyncio.to_thread(real, node)
    assert reply.get("prompt_eval_cached_count", 0) < 0.1 * reply["prompt_eval_count"]


@pytest.mark.asyncio
async def test_a_resident_with_one_slot_is_left_alone(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=2+tools", **READS | {"slots": 1}), MemoryBoard(), Notes()
    async with working(board, table(node, slots=1), notes=notes) as worker:
        await served(board, "a:latest")
        for _ in range(3):
            await worker.round()
    assert notes.ledger("warm") == []
    assert node.report()["loads_total"] == 1


@pytest.mark.asyncio
async def test_a_request_that_would_wait_for_the_slot_has_the_replay_given_up(fake_node: FakeNode) -> None:
    slow = READS | {"prefill_tps": 20}
    node, board, notes = fake_node("a=2+tools", **slow), MemoryBoard(), Notes()
    async with working(board, table(node), notes=notes) as worker:
        await served(board, "a:latest")
        await eventually(lambda: worker.fleet.warming)
        await eventually(lambda: node.state()["residents"][0]["running"] == 1)
        began = time.monotonic()
        await seated(board, "a:latest")
        await seated(board, "a:latest")
        assert time.monotonic() - began < 3.0, "the replay takes longer than 15 s"
        assert not worker.fleet.warming
    assert notes.ledger("warm") == []


@pytest.mark.asyncio
async def test_a_prefix_that_nobody_used_is_told_when_its_resident_goes(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=4+tools,b=4", vram_gib=9, **READS), MemoryBoard(), Notes()
    async with working(board, table(node), notes=notes):
        await served(board, "a:latest")
        await eventually(lambda: notes.ledger("warm"))
        await served(board, "b:latest")
        await eventually(lambda: outcomes(notes) == [("prefix 7", "unused")])


@pytest.mark.asyncio
async def test_what_is_in_the_cache_already_is_not_counted_as_saved(fake_node: FakeNode) -> None:
    node, board, notes = fake_node("a=2+tools", **READS), MemoryBoard(), Notes()
    source = table(node)
    source.put(prefixes={})
    async with working(board, source, notes=notes) as worker:
        await served(board, "a:latest")
        await asyncio.to_thread(real, node)
        source.put(prefixes={"a:latest": (prefix(),)})
        await eventually(lambda: notes.ledger("warm"))
        assert [entry.outcome for entry in notes.ledger("warm")] == ["cached"]
        await worker.round()
    assert len(notes.ledger("warm")) == 1, "once for each stay"


def test_the_generate_route_takes_its_system_text_beside_the_prompt() -> None:
    body = prefix(route="generate", tools=(), think=False).body(Profile(num_ctx=4096, shift=False), -1)
    assert body == {
        "model": "a:latest",
        "stream": False,
        "keep_alive": -1,
        "options": {"num_ctx": 4096, "num_predict": 1},
        "think": False,
        "shift": False,
        "system": SYSTEM,
        "prompt": ".",
    }

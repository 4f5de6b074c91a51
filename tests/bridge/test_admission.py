"""From a ticket to a seat or a refusal, on the real board of one process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, get_args

import pytest

from bridge import admission
from bridge.dialects import ollama
from bridge.errors import Refused
from bridge.exchange import Exchange
from scheduler.board.interface import Limits, Reason, Refusal, Resident, Ticket
from scheduler.board.memory import MemoryBoard


def exchange() -> Exchange:
    def nothing(*_: Any) -> None:
        pass

    return Exchange(
        id="req_1", address="", path="/api/chat", dialect=ollama.CHAT, emit=nothing, release=nothing
    )


def ticket(number: int = 1, **fields: Any) -> Ticket:
    given = {"tokens": 10, "num_ctx": 0, "deadline": time.time() + 60, **fields}
    return Ticket(id=f"req_{number}", holder="h", key="k", model="m:latest", **given)


async def board_with(*nodes: str) -> MemoryBoard:
    board = MemoryBoard()
    epoch = await board.lead("s")
    assert epoch is not None
    residents = [Resident(node=node, model="m:latest", num_ctx=4096, slots=1) for node in nodes]
    await board.publish(residents, loadable={"m:latest": 1.0}, epoch=epoch)
    return board


@pytest.mark.parametrize("reason", get_args(Reason))
def test_each_reason_of_the_board_has_a_status(reason: Reason) -> None:
    refusal = Refusal(ticket="req_1", reason=reason, detail="Because.", retry_after_s=7)
    asked = exchange()
    asked.ticket = "req_1"
    error = admission.refused(refusal, asked)
    assert error.status in (429, 503)
    assert (error.kind, str(error), error.retry_after_s) == (reason, "Because.", 7)
    assert asked.ticket is None


def test_a_spent_budget_says_not_to_try_again_and_a_reserved_one_does_not() -> None:
    spent = Refusal(ticket="req_1", reason="budget", detail="Spent.", retry_after_s=None)
    assert admission.refused(spent, exchange()).should_retry is False
    assert admission.refused(replace(spent, retry_after_s=1), exchange()).should_retry is None


@pytest.mark.asyncio
async def test_a_free_slot_is_a_seat_at_once() -> None:
    board, asked = await board_with("a"), exchange()
    seat = await admission.seat(board, ticket(), asked)
    assert (seat.node, asked.seat, asked.ticket) == ("a", seat, "req_1")


@pytest.mark.asyncio
async def test_who_waits_gets_the_seat_that_comes_free() -> None:
    board = await board_with("a")
    await admission.seat(board, ticket(1), exchange())
    asked = exchange()
    waiting = asyncio.create_task(admission.seat(board, ticket(2), asked))
    while not (await board.demand()):
        await asyncio.sleep(0)
    await board.settle("req_1", 10)
    assert (await waiting).node == "a"
    assert asked.queued_s >= 0


@pytest.mark.asyncio
async def test_a_refusal_is_raised_and_leaves_nothing_on_the_board() -> None:
    board, asked = await board_with("a"), exchange()
    with pytest.raises(Refused, match="at once") as error:
        await admission.seat(board, ticket(limits=Limits(parallel=0)), asked)
    assert (error.value.status, error.value.kind) == (429, "parallel")
    assert asked.ticket is None
    assert not await board.demand()


@pytest.mark.asyncio
async def test_a_deadline_that_passes_in_the_line_is_a_503() -> None:
    board = await board_with("a")
    await admission.seat(board, ticket(1), exchange())
    with pytest.raises(Refused, match="No seat within") as error:
        await admission.seat(board, ticket(2, deadline=time.time() + 0.05), exchange())
    assert (error.value.status, error.value.kind) == (503, "deadline")


@pytest.mark.asyncio
async def test_a_node_that_failed_is_left_out_while_another_has_room() -> None:
    board, asked = await board_with("a", "b"), exchange()
    first = await admission.seat(board, ticket(), asked)
    moved = ticket(avoid=frozenset({first.node}))
    assert (await admission.seat(board, moved, asked, moved=True)).node != first.node


@pytest.mark.asyncio
async def test_a_node_that_failed_is_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FORGIVE_S", 0.01)
    board, asked = await board_with("a"), exchange()
    await admission.seat(board, ticket(), asked)
    moved = ticket(avoid=frozenset({"a"}))
    assert (await admission.seat(board, moved, asked, moved=True)).node == "a"

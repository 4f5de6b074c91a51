"""What the scheduler sees: lines, loads, arrivals, and what wakes it."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.board.interface import Arrival, Board
from tests.scheduler.board.cast import START, Clock, publish, resident, seated, ticket, waiting

pytestmark = pytest.mark.asyncio


async def test_a_line_says_who_waits_for_what_since_when(board: Board, clock: Clock) -> None:
    await publish(board)
    await waiting(board, ticket("ann", num_ctx=2048, priority=0))
    clock.advance(3.0)
    await waiting(board, ticket("ann", num_ctx=8192, avoid=frozenset({"n7"})))
    await waiting(board, ticket("bob", num_ctx=4096, priority=2))
    (line,) = await board.demand()
    assert (line.model, line.waiting, line.num_ctx, line.priority) == ("m", 3, 8192, 2)
    assert line.since == pytest.approx(START)
    assert line.keys == {"ann": 2, "bob": 1}
    assert line.avoid == {"n7"}


async def test_a_line_says_what_its_last_ticket_will_wait_where_that_is_known(
    board: Board, clock: Clock
) -> None:
    await publish(board, loadable={"m": 8.0, "z": None})
    await waiting(board, ticket(model="z"))
    await waiting(board, ticket())
    clock.advance(3.0)
    assert await predicted(board) == {"m": pytest.approx(5.0), "z": None}
    await waiting(board, ticket())
    assert (await predicted(board))["m"] is None, "how fast the line moves was not measured yet"


async def predicted(board: Board) -> dict[str, float | None]:
    return {line.model: line.wait_s for line in await board.demand()}


async def test_lines_are_listed_oldest_first(board: Board, clock: Clock) -> None:
    await publish(board, loadable={"z": None, "a": None})
    await waiting(board, ticket(model="z"))
    clock.advance(1.0)
    await waiting(board, ticket(model="a"))
    assert [line.model for line in await board.demand()] == ["z", "a"]


async def test_a_line_names_64_keys(board: Board) -> None:
    await publish(board)
    for number in range(70):
        await waiting(board, ticket(f"k{number}"))
    (line,) = await board.demand()
    assert len(line.keys) == 64
    assert line.waiting == 70


async def test_loads_say_what_runs_and_when_it_was_used(board: Board, clock: Clock) -> None:
    await publish(board, resident("n1", slots=2), resident("n2", model="e"))
    clock.advance(4.0)
    asked = ticket()
    await seated(board, asked)
    loads = {(load.node, load.model): load for load in await board.loads()}
    assert loads["n1", "m"].in_flight == 1
    assert loads["n1", "m"].last_used == pytest.approx(START + 4.0)
    assert loads["n2", "e"].in_flight == 0
    clock.advance(2.0)
    await board.settle(asked.id, 1)
    loads = {(load.node, load.model): load for load in await board.loads()}
    assert loads["n1", "m"].last_used == pytest.approx(START + 6.0)


async def test_residents_are_read_as_they_were_published(board: Board) -> None:
    shown = [
        resident("n1", options={"num_ctx": 4096, "low_vram": False}, slots=4),
        resident("n2", model="e", accepting=False, cause="pin"),
    ]
    await publish(board, *shown)
    assert sorted(await board.residents(), key=lambda each: each.id) == shown


async def test_arrivals_tell_admitted_and_refused_once(board: Board, clock: Clock) -> None:
    await publish(board, resident())
    await seated(board, ticket("ann"))
    clock.advance(1.0)
    await board.admit(ticket("bob", model="unknown"))
    arrivals = await board.arrivals()
    assert arrivals == [
        Arrival(at=pytest.approx(START), key="ann", model="m"),
        Arrival(at=pytest.approx(START + 1.0), key="bob", model="unknown"),
    ]
    assert await board.arrivals() == []


async def test_arrivals_tell_what_apps_say_of_their_future(board: Board) -> None:
    await publish(board, resident())
    await seated(board, ticket(session="s1", next_models=("e", "f")))
    await board.admit(ticket(model="unknown", next_models=("e",)))
    await board.admit(ticket(model="unknown", session="s2"))
    said = [(each.session, each.next_models) for each in await board.arrivals()]
    assert said == [("s1", ("e", "f")), ("", ("e",)), ("s2", ())]


async def test_a_joined_line_wakes_the_scheduler(board: Board) -> None:
    await publish(board)
    watch = asyncio.create_task(board.wait_for_demand(30.0))
    await asyncio.sleep(0)
    await waiting(board, ticket())
    assert await watch is True


async def test_demand_that_came_before_the_scheduler_looked_is_not_lost(board: Board) -> None:
    await publish(board)
    await waiting(board, ticket())
    assert await board.wait_for_demand(5.0) is True
    assert await board.wait_for_demand(0.05) is False


async def test_a_warm_request_does_not_wake_the_scheduler(board: Board) -> None:
    await publish(board, resident())
    assert await board.wait_for_demand(0.01) is False
    await seated(board, ticket())
    assert await board.wait_for_demand(0.05) is False


async def test_a_draining_resident_that_ran_empty_wakes_the_scheduler(board: Board) -> None:
    await publish(board, resident(slots=2))
    first, second = ticket(), ticket()
    await seated(board, first)
    await seated(board, second)
    await publish(board, resident(slots=2, accepting=False))
    await board.settle(first.id, 1)
    assert await board.wait_for_demand(0.05) is False
    await board.settle(second.id, 1)
    assert await board.wait_for_demand(5.0) is True


async def test_closing_wakes_whoever_waits(board: Board) -> None:
    await publish(board)
    queued = ticket()
    await waiting(board, queued)
    await board.wait_for_demand(5.0)
    watch = asyncio.create_task(board.wait_for_demand(30.0))
    waiter = asyncio.create_task(board.wait(queued.id, 30.0))
    await asyncio.sleep(0.01)
    await board.aclose()
    assert await watch is False
    outcome = await waiter
    assert outcome is not None
    assert getattr(outcome, "reason", None) == "draining"


async def test_all_in_flight_are_listed_with_their_places(board: Board, clock: Clock) -> None:
    await publish(board, resident("n1"), loadable={"m": None, "z": 8.0})
    sits, next_, last, cold = ticket("ann"), ticket("bob"), ticket("ann"), ticket("cid", model="z")
    await seated(board, sits)
    clock.advance(2.0)
    for asked in (next_, last, cold):
        await waiting(board, asked)
    clock.advance(1.0)
    seen = {each.ticket: each for each in await board.in_flight(10)}
    assert list(seen)[-1] == sits.id
    assert (seen[sits.id].node, seen[sits.id].position, seen[sits.id].since) == ("n1", None, START)
    assert [(seen[each.id].node, seen[each.id].position) for each in (next_, last, cold)] == [
        (None, 1),
        (None, 2),
        (None, 1),
    ]
    assert (seen[cold.id].key, seen[cold.id].model) == ("cid", "z")
    assert seen[cold.id].wait_s == pytest.approx(7.0)  # a load of 8 s that was wanted a second ago
    assert seen[next_.id].wait_s is None  # nobody saw this line move yet


async def test_who_has_ended_is_in_flight_no_more_and_the_list_is_bounded(board: Board) -> None:
    await publish(board, resident("n1", slots=8))
    tickets = [ticket() for _ in range(14)]
    for asked in tickets:
        await board.admit(asked)
    assert len(await board.in_flight(3)) == 6
    for asked in tickets:
        await board.settle(asked.id, None)
    assert await board.in_flight(3) == []

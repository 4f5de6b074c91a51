"""Leases: of the leading scheduler, and of the bridges that hold tickets."""

from __future__ import annotations

import pytest

from scheduler.board.interface import Board, Budget, Limits, StaleLeader
from tests.scheduler.board.cast import START, Clock, got_seat, publish, resident, seated, ticket, waiting

pytestmark = pytest.mark.asyncio


async def outlive_lease(board: Board, clock: Clock, *alive: str) -> None:
    """Eight seconds in which only `alive` renew."""
    for _ in range(8):
        clock.advance(1.0)
        for holder in alive:
            await board.renew(holder)


async def test_one_leads_and_the_others_do_not(board: Board) -> None:
    epoch = await board.lead("a")
    assert epoch is not None
    assert await board.lead("b") is None
    assert await board.lead("a") == epoch


async def test_a_leader_that_resigns_is_followed_at_once_with_a_larger_number(board: Board) -> None:
    first = await board.lead("a")
    await board.resign("b")
    assert await board.lead("b") is None
    await board.resign("a")
    second = await board.lead("b")
    assert first is not None
    assert second is not None
    assert second > first


async def test_a_leader_that_falls_silent_is_followed_after_its_lease(board: Board, clock: Clock) -> None:
    first = await board.lead("a")
    clock.advance(2.9)
    assert await board.lead("b") is None
    clock.advance(0.2)
    second = await board.lead("b")
    assert first is not None
    assert second is not None
    assert second > first


async def test_a_leader_that_comes_back_after_its_lease_has_a_new_number(board: Board, clock: Clock) -> None:
    first = await board.lead("a")
    clock.advance(3.1)
    second = await board.lead("a")
    assert first is not None
    assert second is not None
    assert second > first


async def test_what_an_older_leader_publishes_does_not_count(board: Board) -> None:
    old = await publish(board, resident("n1"))
    await board.resign("scheduler-1")
    new = await board.lead("scheduler-2")
    assert new is not None
    with pytest.raises(StaleLeader):
        await board.publish([resident("n9")], loadable={"m": None}, epoch=old)
    assert [each.node for each in await board.residents()] == ["n1"]
    await board.publish([resident("n2")], loadable={"m": None}, epoch=new)
    assert [each.node for each in await board.residents()] == ["n2"]


async def test_a_holder_is_known_from_its_first_renewal_on(board: Board) -> None:
    assert await board.renew("bridge-9") is False
    assert await board.renew("bridge-9") is True


async def test_a_silent_holders_seats_go_to_those_who_wait(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=1))
    dead, alive = ticket(holder="bridge-1"), ticket(holder="bridge-2")
    await board.renew("bridge-1")
    await board.renew("bridge-2")
    await seated(board, dead)
    await waiting(board, alive)
    await outlive_lease(board, clock, "bridge-2")
    assert await got_seat(board, alive)
    assert [load.in_flight for load in await board.loads()] == [1]


async def test_a_silent_holders_places_parallel_and_reservations_are_freed(
    board: Board, clock: Clock
) -> None:
    daily = Budget(period="day", tokens=150, start=START, end=START + 86_400.0)
    limits = Limits(parallel=1, budgets=(daily,))
    await publish(board, resident(slots=1))
    blocker = ticket("bob", holder="bridge-2", deadline=START + 900.0)
    await seated(board, blocker)
    await waiting(board, ticket(limits=limits, holder="bridge-1"))
    await outlive_lease(board, clock, "bridge-2")
    assert await board.demand() == []
    await waiting(board, ticket(limits=limits, holder="bridge-2"))


async def test_a_holder_that_never_renewed_has_a_lease_from_its_first_ticket(
    board: Board, clock: Clock
) -> None:
    await publish(board, resident(slots=1))
    await seated(board, ticket(holder="bridge-1"))
    clock.advance(3.0)
    await board.renew("bridge-2")
    assert [load.in_flight for load in await board.loads()] == [1]
    await outlive_lease(board, clock, "bridge-2")
    assert [load.in_flight for load in await board.loads()] == [0]


async def test_a_renewing_holder_keeps_what_it_has(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=1))
    await seated(board, ticket(holder="bridge-1"))
    await outlive_lease(board, clock, "bridge-1")
    assert [load.in_flight for load in await board.loads()] == [1]

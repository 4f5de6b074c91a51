"""Seats: who gets which slot, what the request met there, and how it is given back."""

from __future__ import annotations

import pytest

from scheduler.board.interface import Board, Place, Refusal, Seat
from tests.scheduler.board.cast import (
    Clock,
    got_seat,
    publish,
    resident,
    seated,
    still_waits,
    ticket,
    waiting,
)

pytestmark = pytest.mark.asyncio


async def in_flight(board: Board) -> dict[str, int]:
    return {load.node: load.in_flight for load in await board.loads()}


async def test_a_free_slot_is_given_at_once_with_the_profile(board: Board) -> None:
    await publish(board, resident(options={"num_ctx": 4096, "num_batch": 512}))
    seat = await seated(board, ticket())
    assert (seat.node, seat.model, seat.num_ctx) == ("n1", "m", 4096)
    assert seat.options == {"num_ctx": 4096, "num_batch": 512}
    assert seat.load == "warm"
    assert seat.queued_s == 0.0


async def test_the_slots_of_a_resident_are_never_exceeded(board: Board) -> None:
    await publish(board, resident(slots=2))
    first, second, third = ticket(), ticket(), ticket()
    await seated(board, first)
    await seated(board, second)
    place = await waiting(board, third)
    assert place.position == 1
    assert await in_flight(board) == {"n1": 2}
    await board.settle(first.id, 10)
    assert (await got_seat(board, third)).node == "n1"
    assert await in_flight(board) == {"n1": 2}


async def test_settling_twice_frees_one_slot(board: Board) -> None:
    await publish(board, resident(slots=2))
    first, second = ticket(), ticket()
    await seated(board, first)
    await seated(board, second)
    await board.settle(first.id, 10)
    await board.settle(first.id, 10)
    assert await in_flight(board) == {"n1": 1}


async def test_settling_an_unknown_ticket_does_nothing(board: Board) -> None:
    await publish(board, resident())
    await board.settle("never-seen", 10)
    assert await in_flight(board) == {"n1": 0}


async def test_admitting_the_same_ticket_again_gives_what_it_has(board: Board) -> None:
    await publish(board, resident())
    first, second = ticket(), ticket()
    assert await board.admit(first) == await board.admit(first)
    place = await waiting(board, second)
    again = await board.admit(second)
    assert isinstance(again, Place)
    assert again.position == place.position == 1
    assert await in_flight(board) == {"n1": 1}


async def test_the_preferred_node_is_taken_while_it_has_a_free_slot(board: Board) -> None:
    await publish(board, resident("n1", slots=2), resident("n2", slots=2))
    assert (await seated(board, ticket(prefer="n2"))).node == "n2"
    assert (await seated(board, ticket(prefer="n2"))).node == "n2"
    assert (await seated(board, ticket(prefer="n2"))).node == "n1"


async def test_the_least_taken_share_is_chosen_then_the_one_used_longest_ago(
    board: Board, clock: Clock
) -> None:
    await publish(board, resident("n1", slots=4), resident("n2", slots=2))
    nodes = []
    for _ in range(6):
        clock.advance(1.0)
        nodes.append((await seated(board, ticket())).node)
    assert nodes == ["n1", "n2", "n1", "n2", "n1", "n1"]


async def test_a_node_that_failed_the_request_is_avoided(board: Board) -> None:
    await publish(board, resident("n1"), resident("n2"))
    assert (await seated(board, ticket(avoid=frozenset({"n1"}), prefer="n1"))).node == "n2"


async def test_a_context_above_the_residents_is_not_seated_there(board: Board) -> None:
    await publish(board, resident("n1", num_ctx=4096), resident("n2", num_ctx=8192))
    assert (await seated(board, ticket(num_ctx=8000))).node == "n2"
    await waiting(board, ticket(num_ctx=8000))
    assert (await seated(board, ticket(num_ctx=4096))).node == "n1"


async def test_a_draining_resident_gives_no_seats_and_lets_its_own_run_out(board: Board) -> None:
    await publish(board, resident(slots=2))
    running = ticket()
    await seated(board, running)
    await publish(board, resident(slots=2, accepting=False))
    queued = ticket()
    await waiting(board, queued)
    await board.settle(running.id, 10)
    assert await still_waits(board, queued)
    await publish(board, resident(slots=2))
    assert (await got_seat(board, queued)).load == "cold"


async def test_a_resident_that_is_gone_keeps_its_count_until_its_seats_end(board: Board) -> None:
    await publish(board, resident(slots=1))
    running, queued = ticket(), ticket()
    await seated(board, running)
    await publish(board)
    assert await board.residents() == []
    await publish(board, resident(slots=1))
    assert await in_flight(board) == {"n1": 1}
    await waiting(board, queued)
    await board.settle(running.id, 1)
    assert await got_seat(board, queued)


async def test_fewer_slots_than_in_flight_give_no_seat_until_enough_ended(board: Board) -> None:
    await publish(board, resident(slots=3))
    running = [ticket() for _ in range(3)]
    for each in running:
        await seated(board, each)
    await publish(board, resident(slots=1))
    queued = ticket()
    await waiting(board, queued)
    await board.settle(running[0].id, 1)
    await board.settle(running[1].id, 1)
    assert await still_waits(board, queued)
    await board.settle(running[2].id, 1)
    assert await got_seat(board, queued)


async def test_who_waited_for_the_load_is_cold_and_who_came_after_is_warm(board: Board) -> None:
    await publish(board)
    first, second = ticket(), ticket()
    await waiting(board, first)
    await publish(board, resident(slots=1))
    assert (await got_seat(board, first)).load == "cold"
    await waiting(board, second)
    await board.settle(first.id, 1)
    assert (await got_seat(board, second)).load == "warm"


async def test_only_the_first_seat_of_a_prefetched_resident_is_prefetched(board: Board) -> None:
    await publish(board, resident(slots=4, cause="prefetch"))
    assert (await seated(board, ticket())).load == "prefetched"
    assert (await seated(board, ticket())).load == "warm"
    await publish(board, resident(slots=4, cause="prefetch"))
    assert (await seated(board, ticket())).load == "warm"


async def test_a_prefetch_that_comes_late_meets_a_cold_request(board: Board) -> None:
    await publish(board)
    late = ticket()
    await waiting(board, late)
    await publish(board, resident(slots=4, cause="prefetch"))
    assert (await got_seat(board, late)).load == "cold"
    assert (await seated(board, ticket())).load == "warm"


async def test_the_time_in_line_is_told(board: Board, clock: Clock) -> None:
    await publish(board, resident())
    first, second = ticket(), ticket()
    await seated(board, first)
    await waiting(board, second)
    clock.advance(2.5)
    await board.settle(first.id, 1)
    assert (await got_seat(board, second)).queued_s == pytest.approx(2.5)


async def test_a_seat_that_failed_moves_to_another_node_at_once(board: Board) -> None:
    await publish(board, resident("n1"), resident("n2"))
    failed = ticket(prefer="n1")
    assert (await seated(board, failed)).node == "n1"
    moved = await board.move(ticket(id=failed.id, avoid=frozenset({"n1"})))
    assert isinstance(moved, Seat)
    assert moved.node == "n2"
    assert await in_flight(board) == {"n1": 0, "n2": 1}


async def test_a_moved_ticket_waits_at_the_head_and_frees_its_slot_for_others(board: Board) -> None:
    await publish(board, resident("n1"), resident("n2"))
    failed, busy, next_one = ticket(prefer="n1"), ticket(), ticket()
    await seated(board, failed)
    await seated(board, busy)
    await waiting(board, next_one)
    moved = await board.move(ticket(id=failed.id, avoid=frozenset({"n1"})))
    assert isinstance(moved, Place)
    assert moved.position == 1
    assert (await got_seat(board, next_one)).node == "n1"
    await board.settle(busy.id, 1)
    assert (await got_seat(board, failed)).node == "n2"


async def test_a_moved_ticket_that_nobody_can_load_is_refused_and_ends(board: Board) -> None:
    await publish(board, resident("n1"))
    failed = ticket()
    await seated(board, failed)
    await publish(board, loadable={})
    refusal = await board.move(ticket(id=failed.id, avoid=frozenset({"n1"})))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "no_node"
    await publish(board, resident("n1"))
    assert await in_flight(board) == {"n1": 0}

"""Lines: fair order, deadlines, bounds, and who is refused with what."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.board.interface import Board, Bounds, Refusal, Seat, Ticket
from tests.scheduler.board.cast import (
    START,
    Clock,
    got_seat,
    publish,
    refused,
    resident,
    seated,
    still_waits,
    ticket,
    waiting,
)

pytestmark = pytest.mark.asyncio


async def served_order(board: Board, running: Ticket, queued: list[Ticket]) -> list[str]:
    """Keys of `queued` in the order in which the one slot is given to them."""
    order = []
    left = list(queued)
    while left:
        await board.settle(running.id, 1)
        positions = [await board.position(each.id) for each in left]
        running = left.pop(positions.index(None))
        assert isinstance(await board.wait(running.id, 5.0), Seat)
        order.append(running.key)
    return order


async def line_of(board: Board, *asked: Ticket) -> Ticket:
    """One seat taken, the others in line; the seated ticket."""
    await publish(board, resident(slots=1))
    running = ticket("first")
    await seated(board, running)
    for each in asked:
        await waiting(board, each)
    return running


async def test_keys_take_turns_however_many_requests_one_of_them_sends(board: Board) -> None:
    asked = [ticket("flood") for _ in range(4)] + [ticket("bob"), ticket("cyd")]
    running = await line_of(board, *asked)
    assert await served_order(board, running, asked) == ["flood", "bob", "cyd", "flood", "flood", "flood"]


async def test_equal_tickets_are_served_as_they_came(board: Board) -> None:
    asked = [ticket(key) for key in ("zoe", "ann", "mia", "bob")]
    running = await line_of(board, *asked)
    assert await served_order(board, running, asked) == ["zoe", "ann", "mia", "bob"]


async def test_a_higher_priority_goes_first_and_has_four_times_the_share(board: Board) -> None:
    asked = [ticket("low", priority=0) for _ in range(3)] + [ticket("high", priority=1) for _ in range(8)]
    running = await line_of(board, *asked)
    order = await served_order(board, running, asked)
    assert order == ["high"] * 3 + ["low"] + ["high"] * 4 + ["low", "high", "low"]


async def test_nobody_who_comes_an_aging_time_later_passes_a_low_priority(board: Board, clock: Clock) -> None:
    low = ticket("low", priority=0)
    running = await line_of(board, low)
    clock.advance(121.0)
    high = ticket("high", priority=2)
    await waiting(board, high)
    assert await served_order(board, running, [low, high]) == ["low", "high"]


async def test_a_ticket_that_fits_nowhere_does_not_block_those_behind_it(board: Board) -> None:
    large, small = ticket("ann", num_ctx=99_999), ticket("bob")
    running = await line_of(board, large, small)
    await board.settle(running.id, 1)
    assert await got_seat(board, small)
    assert await still_waits(board, large)
    place = await board.position(large.id)
    assert place is not None
    assert place.position == 1
    await publish(board, resident(slots=2, num_ctx=131_072))
    assert (await got_seat(board, large)).load == "cold"


async def test_a_ticket_that_left_the_line_lets_the_others_move_up(board: Board) -> None:
    first, second = ticket("ann"), ticket("bob")
    await line_of(board, first, second)
    await board.settle(first.id, None)
    place = await board.position(second.id)
    assert place is not None
    assert place.position == 1
    assert await board.position(first.id) is None


async def test_giving_up_costs_a_key_no_turn(board: Board) -> None:
    first, gone = ticket("cyd"), ticket("ann")
    running = await line_of(board, first, gone)
    await board.settle(gone.id, None)
    back, other = ticket("ann"), ticket("bob")
    await waiting(board, back)
    await waiting(board, other)
    assert await served_order(board, running, [first, back, other]) == ["cyd", "ann", "bob"]


async def test_a_ticket_past_its_deadline_is_refused_and_gives_everything_back(
    board: Board, clock: Clock
) -> None:
    late = ticket(deadline=START + 10.0)
    running = await line_of(board, late)
    assert await still_waits(board, late)
    clock.advance(10.0)
    refusal = await board.wait(late.id, 5.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "deadline"
    assert "10.0 seconds" in refusal.detail
    assert await board.demand() == []
    await board.settle(running.id, 1)
    assert [load.in_flight for load in await board.loads()] == [0]


async def test_a_slot_that_frees_after_the_deadline_goes_to_the_next_one(board: Board, clock: Clock) -> None:
    late, patient = ticket("ann", deadline=START + 10.0), ticket("bob")
    running = await line_of(board, late, patient)
    clock.advance(11.0)
    await board.settle(running.id, 1)
    assert await got_seat(board, patient)
    outcome = await board.wait(late.id, 5.0)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "deadline"


async def test_waiting_wakes_when_the_seat_comes(board: Board) -> None:
    queued = ticket()
    running = await line_of(board, queued)
    waiter = asyncio.create_task(board.wait(queued.id, 30.0))
    await asyncio.sleep(0)
    await board.settle(running.id, 1)
    assert isinstance(await waiter, Seat)


async def test_waiting_for_an_ended_ticket_says_that_it_is_lost(board: Board) -> None:
    queued = ticket()
    await line_of(board, queued)
    await board.settle(queued.id, None)
    outcome = await board.wait(queued.id, 5.0)
    assert isinstance(outcome, Refusal)
    assert "lost its place" in outcome.detail


async def test_the_scheduler_refuses_those_who_fit_nowhere(board: Board) -> None:
    large, small = ticket("ann", num_ctx=99_999), ticket("bob")
    await line_of(board, large, small)
    assert await board.refuse("m", "no_room", "It needs 90 GB and has 48.", num_ctx_over=4096) == 1
    refusal = await board.wait(large.id, 5.0)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.detail) == ("no_room", "It needs 90 GB and has 48.")
    assert refusal.retry_after_s is None
    assert await still_waits(board, small)


async def test_a_refused_line_is_empty_and_settling_its_tickets_changes_nothing(board: Board) -> None:
    asked = [ticket(), ticket("bob")]
    await line_of(board, *asked)
    assert await board.refuse("m", "load_failed", "The node ran out of memory.") == 2
    assert await board.refuse("m", "load_failed", "The node ran out of memory.") == 0
    for each in asked:
        await board.settle(each.id, 5)
        outcome = await board.wait(each.id, 5.0)
        assert isinstance(outcome, Refusal)
    assert await board.demand() == []


async def test_a_model_that_no_node_holds_is_refused(board: Board) -> None:
    await publish(board, loadable={"other": 3.0})
    refusal = await refused(board, ticket())
    assert refusal.reason == "no_node"
    assert refusal.retry_after_s == 10


async def test_a_cold_request_is_refused_while_no_scheduler_ever_led(board: Board) -> None:
    refusal = await refused(board, ticket())
    assert refusal.reason == "no_scheduler"


async def test_without_a_scheduler_warm_requests_go_on_and_cold_ones_are_refused(
    board: Board, clock: Clock
) -> None:
    await publish(board, resident(slots=2), loadable={"m": None, "other": None})
    cold = ticket(model="other")
    await waiting(board, cold)
    clock.advance(10.1)
    await board.renew("bridge-1")
    assert (await seated(board, ticket())).load == "warm"
    assert (await refused(board, ticket(model="other"))).reason == "no_scheduler"
    outcome = await board.wait(cold.id, 5.0)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "no_scheduler"


async def test_a_warm_line_still_moves_without_a_scheduler(board: Board, clock: Clock) -> None:
    queued = ticket()
    running = await line_of(board, queued)
    clock.advance(10.1)
    await board.renew("bridge-1")
    await board.settle(running.id, 1)
    assert (await got_seat(board, queued)).load == "warm"


class TestBounds:
    @pytest.fixture
    def bounds(self) -> Bounds:
        return Bounds(queue_model=20, queue_total=30)

    async def test_over_four_fifths_low_priorities_are_shed_first_and_a_full_line_takes_nobody(
        self, board: Board
    ) -> None:
        await line_of(board, *[ticket(f"k{i}", priority=0) for i in range(17)])
        shed = await refused(board, ticket(priority=0))
        assert shed.reason == "queue_shed"
        assert "17 of 20 places for m and 17 of 30" in shed.detail
        for _ in range(2):
            await waiting(board, ticket(priority=1))
        assert (await refused(board, ticket(priority=1))).reason == "queue_shed"
        await waiting(board, ticket(priority=2))
        full = await refused(board, ticket(priority=2))
        assert full.reason == "queue_full"
        assert full.retry_after_s == 10

    async def test_all_lines_together_have_a_bound(self, board: Board) -> None:
        await publish(board, loadable={"a": None, "b": None, "c": None})
        for model in ("a", "b"):
            for _ in range(15):
                await waiting(board, ticket(model=model, priority=2))
        assert (await refused(board, ticket(model="c", priority=2))).reason == "queue_full"

    async def test_a_free_slot_is_taken_however_long_the_lines_are(self, board: Board) -> None:
        await line_of(board, *[ticket(priority=2, num_ctx=99_999) for _ in range(20)])
        await publish(board, resident(slots=2))
        await seated(board, ticket())

    async def test_room_is_there_again_when_some_have_left(self, board: Board) -> None:
        asked = [ticket(priority=2) for _ in range(20)]
        await line_of(board, *asked)
        assert await refused(board, ticket(priority=2))
        await board.settle(asked[0].id, None)
        await waiting(board, ticket(priority=2))


async def test_predicted_wait_and_retry_come_from_the_measured_drain_rate(board: Board, clock: Clock) -> None:
    asked = [ticket() for _ in range(8)]
    running = await line_of(board, *asked)
    assert (await waiting(board, ticket())).wait_s is None
    for each in asked:
        clock.advance(2.0)  # one seat in two seconds
        await board.renew("bridge-1")
        await board.settle(running.id, 1)
        running = each
    place = await waiting(board, ticket())
    assert place.position == 2
    assert place.wait_s == pytest.approx(4.0, rel=0.05)
    (line,) = await board.demand()
    assert (line.waiting, line.wait_s) == (2, pytest.approx(4.0, rel=0.05))


async def test_a_line_that_is_full_says_how_long_one_more_would_wait(board: Board, clock: Clock) -> None:
    asked = [ticket() for _ in range(8)]
    running = await line_of(board, *asked)
    for each in asked:
        clock.advance(2.0)  # one seat in two seconds
        await board.settle(running.id, 1)
        running = each
    for _ in range(116):
        await waiting(board, ticket())
    refusal = await refused(board, ticket())
    assert refusal.reason == "queue_shed"
    assert "One more would wait about 230 s for a seat." in refusal.detail


async def test_a_cold_wait_is_predicted_from_the_seconds_of_the_load(board: Board, clock: Clock) -> None:
    await publish(board, loadable={"m": 20.0})
    first = ticket()
    assert (await waiting(board, first)).wait_s == pytest.approx(20.0)
    clock.advance(5.0)
    place = await board.position(first.id)
    assert place is not None
    assert place.wait_s == pytest.approx(15.0)
    clock.advance(20.0)
    overdue = await board.position(first.id)
    assert overdue is not None
    assert overdue.wait_s is None

"""What one key may use: requests and tokens per minute, requests at once, budgets."""

from __future__ import annotations

import asyncio
import math

import pytest

from scheduler.board.interface import Board, Budget, Limits, Seat
from tests.scheduler.board.cast import START, Clock, publish, refused, resident, seated, ticket, waiting

pytestmark = pytest.mark.asyncio
DAY = 86_400.0


def budget(tokens: int, *, period: str = "day", start: float = START, end: float = START + DAY) -> Budget:
    return Budget(period=period, tokens=tokens, start=start, end=end)


async def test_a_key_without_limits_has_no_allowance(board: Board) -> None:
    await publish(board, resident(slots=9))
    allowance = (await seated(board, ticket())).allowance
    assert allowance.requests_limit is None
    assert allowance.requests_remaining is None
    assert allowance.tokens_reset_s is None


async def test_the_request_over_the_rate_is_refused_until_the_minute_slides_on(
    board: Board, clock: Clock
) -> None:
    await publish(board, resident(slots=99))
    limits = Limits(requests_per_minute=3)
    left = [(await seated(board, ticket(limits=limits))).allowance.requests_remaining for _ in range(3)]
    assert left == [2, 1, 0]
    refusal = await refused(board, ticket(limits=limits))
    assert (refusal.reason, refusal.retry_after_s) == ("rate", 60)
    assert "3 requests per minute" in refusal.detail
    clock.advance(60.0 + 19.0)
    again = await refused(board, ticket(limits=limits))
    assert again.retry_after_s == 1
    clock.advance(1.0)
    seat = await seated(board, ticket(limits=limits))
    assert seat.allowance.requests_remaining == 0


async def test_the_allowance_is_whole_again_when_its_reset_is_over(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=99))
    limits = Limits(requests_per_minute=3)
    clock.advance(45.0)
    await seated(board, ticket(limits=limits))
    allowance = (await seated(board, ticket(limits=limits))).allowance
    assert allowance.requests_reset_s == pytest.approx(15.0 + 60.0)
    clock.advance(75.0)
    assert (await seated(board, ticket(limits=limits))).allowance.requests_remaining == 2


async def test_one_keys_rate_is_not_anothers(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(requests_per_minute=1)
    await seated(board, ticket("ann", limits=limits))
    await seated(board, ticket("bob", limits=limits))
    assert (await refused(board, ticket("ann", limits=limits))).reason == "rate"


async def test_reserved_tokens_count_until_the_real_ones_replace_them(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(tokens_per_minute=1000)
    first = ticket(limits=limits, tokens=800)
    assert (await seated(board, first)).allowance.tokens_remaining == 200
    refusal = await refused(board, ticket(limits=limits, tokens=300))
    assert (refusal.reason, refusal.allowance.tokens_remaining) == ("tokens", 200)
    await board.settle(first.id, 100)
    assert (await seated(board, ticket(limits=limits, tokens=300))).allowance.tokens_remaining == 600


async def test_more_tokens_than_reserved_are_counted_too(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(tokens_per_minute=1000)
    first = ticket(limits=limits, tokens=100)
    await seated(board, first)
    await board.settle(first.id, 950)
    refusal = await refused(board, ticket(limits=limits, tokens=60))
    assert refusal.allowance.tokens_remaining == 50


async def test_a_refund_goes_to_the_minute_that_was_charged(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(tokens_per_minute=1000)
    first = ticket(limits=limits, tokens=1000)
    await seated(board, first)
    clock.advance(90.0)  # half of the charge has slid out
    await board.settle(first.id, 200)
    seat = await seated(board, ticket(limits=limits, tokens=100))
    assert seat.allowance.tokens_remaining == 1000 - 200 // 2 - 100


async def test_a_refund_of_a_minute_long_gone_gives_nothing(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(tokens_per_minute=1000)
    first = ticket(limits=limits, tokens=1000)
    await seated(board, first)
    clock.advance(150.0)
    await seated(board, ticket(limits=limits, tokens=900))
    await board.settle(first.id, 0)
    assert (await refused(board, ticket(limits=limits, tokens=200))).reason == "tokens"


async def test_a_request_above_the_whole_limit_is_told_that_waiting_does_not_help(board: Board) -> None:
    await publish(board, resident())
    refusal = await refused(board, ticket(limits=Limits(tokens_per_minute=50), tokens=51))
    assert (refusal.reason, refusal.retry_after_s) == ("tokens", None)
    assert "ask for fewer tokens" in refusal.detail


async def test_waiting_and_running_requests_count_as_parallel(board: Board) -> None:
    await publish(board, resident(slots=1))
    limits = Limits(parallel=2)
    first, second = ticket(limits=limits), ticket(limits=limits)
    await seated(board, first)
    await waiting(board, second)
    refusal = await refused(board, ticket(limits=limits))
    assert (refusal.reason, refusal.retry_after_s) == ("parallel", 1)
    await board.settle(second.id, None)
    await waiting(board, ticket(limits=limits))


async def test_nothing_is_charged_for_a_refused_request(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(requests_per_minute=2, tokens_per_minute=1000, budgets=(budget(100),))
    assert (await refused(board, ticket(limits=limits, tokens=101))).reason == "budget"
    allowance = (await seated(board, ticket(limits=limits, tokens=100))).allowance
    assert (allowance.requests_remaining, allowance.tokens_remaining) == (1, 900)


async def test_a_budget_holds_reserved_and_used_tokens(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(budgets=(budget(1000),))
    first, second = ticket(limits=limits, tokens=600), ticket(limits=limits, tokens=400)
    await seated(board, first)
    await seated(board, second)
    refusal = await refused(board, ticket(limits=limits, tokens=1))
    assert (refusal.reason, refusal.retry_after_s) == ("budget", 1)
    assert "1000 per day 0 are used and 1000 are reserved" in refusal.detail
    await board.settle(first.id, 600)
    await board.settle(second.id, 400)
    spent = await refused(board, ticket(limits=limits, tokens=1))
    assert (spent.reason, spent.retry_after_s) == ("budget", None)


async def test_a_cancelled_request_gives_its_reservation_back(board: Board) -> None:
    await publish(board, resident())
    limits = Limits(tokens_per_minute=500, budgets=(budget(500),))
    for _ in range(5):
        cancelled = ticket(limits=limits, tokens=500)
        await seated(board, cancelled)
        await board.settle(cancelled.id, None)


async def test_concurrent_requests_never_overdraw_a_budget(board: Board) -> None:
    await publish(board, resident(slots=99))
    limits = Limits(budgets=(budget(1000),))
    asked = [ticket(limits=limits, tokens=70) for _ in range(50)]
    answers = await asyncio.gather(*(board.admit(each) for each in asked))
    assert sum(isinstance(answer, Seat) for answer in answers) == 1000 // 70


async def test_a_new_period_starts_empty_and_what_was_reserved_in_the_old_one_stays_there(
    board: Board, clock: Clock
) -> None:
    await publish(board, resident(slots=9))
    old = Limits(budgets=(budget(100),))
    crossing = ticket(limits=old, tokens=100)
    await seated(board, crossing)
    clock.advance(DAY)
    new = Limits(budgets=(budget(100, start=START + DAY, end=START + 2 * DAY),))
    today = ticket(limits=new, tokens=100, deadline=START + 2 * DAY)
    await seated(board, today)
    await board.settle(crossing.id, 90)
    await board.settle(today.id, 0)
    await seated(board, ticket(limits=new, tokens=100, deadline=START + 2 * DAY))


async def test_a_budget_that_ends_within_a_minute_says_when(board: Board, clock: Clock) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(budgets=(budget(100, end=START + 30.0),))
    first = ticket(limits=limits)
    await seated(board, first)
    await board.settle(first.id, 100)
    assert (await refused(board, ticket(limits=limits))).retry_after_s == 30


async def test_every_budget_of_a_key_is_held(board: Board) -> None:
    await publish(board, resident(slots=9))
    limits = Limits(budgets=(budget(1000), budget(150, period="total", start=0.0, end=math.inf)))
    await seated(board, ticket(limits=limits, tokens=100))
    refusal = await refused(board, ticket(limits=limits, tokens=100))
    assert "150 in all" in refusal.detail


async def test_a_budget_is_seeded_from_the_records_and_never_lowered(board: Board) -> None:
    await publish(board, resident(slots=9))
    daily = budget(1000)
    await board.spent("ann", daily, 900)
    await board.spent("ann", daily, 900)
    await board.spent("ann", daily, 5)
    limits = Limits(budgets=(daily,))
    assert (await refused(board, ticket(limits=limits, tokens=101))).reason == "budget"
    await seated(board, ticket(limits=limits, tokens=100))

"""What only the Redis board has: several processes, messages, lost data, and a server that goes away."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from scheduler.board.interface import Board, BoardDown, Bounds, Budget, Limits, Place, Refusal, Seat
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import (
    got_seat,
    publish,
    refused,
    resident,
    seated,
    ticket,
    waiting,
)
from tests.scheduler.board.conftest import MakeBoard, start_redis
from tests.scheduler.board.server import RedisServer, free_port

pytestmark = pytest.mark.asyncio
FAR = time.time() + 3600.0
DAILY = Budget(period="day", tokens=1000, start=1_700_000_000.0, end=FAR)
BUDGETED = Limits(budgets=(DAILY,))


@pytest_asyncio.fixture
async def lone(own_redis: RedisServer) -> AsyncIterator[RedisBoard]:
    """A board on a server that the test may stop."""
    board = RedisBoard(own_redis.url, namespace=uuid.uuid4().hex, timeout_s=0.3)
    await board.renew("bridge-1")
    yield board
    await board.aclose()


async def in_flight(board: Board) -> list[int]:
    return [load.in_flight for load in await board.loads()]


async def went_down(board: RedisBoard) -> None:
    """Notice that Redis is away."""
    with pytest.raises(BoardDown):
        await board.renew("bridge-1")
    assert board.down


async def came_up(board: RedisBoard) -> None:
    async with asyncio.timeout(10.0):
        while board.down:
            await asyncio.sleep(0.01)


async def test_slots_are_shared_by_boards_and_handed_over_by_message(redis_boards: MakeBoard) -> None:
    one, other = redis_boards(), redis_boards()
    await publish(one, resident())
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR, holder="bridge-2")
    await seated(one, running)
    await waiting(other, queued)
    waiter = asyncio.create_task(other.wait(queued.id, 30.0))
    await asyncio.sleep(0.05)  # the inbox is being listened to
    asked = time.monotonic()
    await one.settle(running.id, 5)
    assert isinstance(await waiter, Seat)
    assert time.monotonic() - asked < 0.5  # well before the poll


async def test_a_seat_whose_message_was_lost_is_found_by_asking(
    redis_boards: MakeBoard, redis_server: RedisServer
) -> None:
    one, other = redis_boards(), redis_boards()
    await publish(one, resident())
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
    await seated(one, running)
    await waiting(other, queued)
    waiter = asyncio.create_task(other.wait(queued.id, 30.0))
    await asyncio.sleep(0.05)
    redis_server.say("CLIENT", "KILL", "TYPE", "pubsub")
    await one.settle(running.id, 5)
    async with asyncio.timeout(5.0):
        assert isinstance(await waiter, Seat)


async def test_demand_wakes_a_scheduler_elsewhere(redis_boards: MakeBoard) -> None:
    bridge, scheduler = redis_boards(), redis_boards()
    await publish(scheduler)
    assert await scheduler.wait_for_demand(0.1) is False
    watch = asyncio.create_task(scheduler.wait_for_demand(30.0))
    await waiting(bridge, ticket(deadline=FAR))
    async with asyncio.timeout(5.0):
        assert await watch is True


async def test_demand_that_was_there_before_the_scheduler_came_wakes_it(redis_boards: MakeBoard) -> None:
    bridge = redis_boards()
    await publish(bridge)
    await waiting(bridge, ticket(deadline=FAR))
    assert await redis_boards().wait_for_demand(5.0) is True


def calls(server: RedisServer) -> int:
    found = re.search(rb"cmdstat_fcall:calls=(\d+)", server.say("INFO", "commandstats"))
    return int(found.group(1)) if found else 0


async def test_admitting_is_one_round_trip_and_settling_waits_for_none(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident(slots=9))
    limits = Limits(requests_per_minute=99, tokens_per_minute=9999, parallel=9, budgets=(DAILY,))
    asked = ticket(deadline=FAR, limits=limits)
    before = calls(own_redis)
    await seated(lone, asked)
    assert calls(own_redis) == before + 1
    settling = lone.settle(asked.id, 5)
    with pytest.raises(StopIteration):
        settling.send(None)  # ends without having waited
    assert await in_flight(lone) == [0]


async def test_a_settling_reaches_redis_before_the_next_admission(redis_boards: MakeBoard) -> None:
    board = redis_boards()
    await publish(board, resident(slots=9))
    for _ in range(20):
        asked = ticket(deadline=FAR, limits=Limits(parallel=1))
        await seated(board, asked)
        await board.settle(asked.id, 5)


async def test_what_ended_leaves_nothing_in_redis(own_redis: RedisServer) -> None:
    board = RedisBoard(own_redis.url, timeout_s=10.0)
    await publish(board, resident())
    await board.renew("bridge-1")
    keys = own_redis.say("KEYS", "*")
    for number in range(50):
        asked, queued = ticket(f"k{number}", deadline=FAR), ticket(f"k{number}", deadline=FAR)
        await seated(board, asked)
        await waiting(board, queued)
        await board.settle(queued.id, None)
        await board.settle(asked.id, 5)
    await board.arrivals()
    left = set(re.findall(rb"ollama_bridge:\S+", own_redis.say("KEYS", "*")))
    assert left - set(re.findall(rb"ollama_bridge:\S+", keys)) == {b"ollama_bridge:{board}:drains"}
    assert len(board.held) == 0
    await board.aclose()


async def test_models_that_nobody_holds_leave_nothing_behind(own_redis: RedisServer) -> None:
    board = RedisBoard(own_redis.url, timeout_s=10.0)
    await board.lead("scheduler-1")
    for number in range(20):
        asked = ticket(model=f"typo-{number}", deadline=FAR)
        await waiting(board, asked)
        await board.settle(asked.id, None)
    await publish(board)
    assert b"typo" not in own_redis.say("HKEYS", "ollama_bridge:{board}:drains")
    assert b"typo" not in own_redis.say("KEYS", "*")
    await board.aclose()


async def test_a_holder_that_would_break_the_names_of_places_is_refused(redis_boards: MakeBoard) -> None:
    with pytest.raises(ValueError, match="may not contain"):
        await redis_boards().admit(ticket(holder="a|b"))


async def test_a_request_id_may_contain_anything(redis_boards: MakeBoard) -> None:
    board = redis_boards()
    await publish(board, resident())
    running, queued = ticket(deadline=FAR), ticket(id='a|b "c"\n{d}', deadline=FAR)
    await seated(board, running)
    await waiting(board, queued)
    await board.settle(running.id, 1)
    assert await got_seat(board, queued)


async def test_a_server_that_forgot_the_library_is_taught_again(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    own_redis.say("FUNCTION", "FLUSH")
    await seated(lone, ticket(deadline=FAR))
    assert not lone.down


async def test_after_a_loss_of_data_everything_held_is_told_again(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    running, queued = ticket(deadline=FAR, limits=BUDGETED, tokens=300), ticket(deadline=FAR)
    await seated(lone, running)
    await waiting(lone, queued)
    own_redis.say("FLUSHALL")
    assert await lone.renew("bridge-1") is False
    await publish(lone, resident())
    assert await in_flight(lone) == [1]
    assert (await refused(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=701))).reason == "budget"
    await lone.settle(running.id, 300)
    assert await got_seat(lone, queued)
    assert await in_flight(lone) == [1]


async def test_after_a_loss_of_data_the_next_admission_tells_everything_and_waits_for_a_scheduler(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    await lone.renew("bridge-1")
    running, queued, newcomer = (ticket(deadline=FAR) for _ in range(3))
    await seated(lone, running)
    await waiting(lone, queued)
    own_redis.say("FLUSHALL")
    await waiting(lone, newcomer)  # nobody has led since, and that is no reason to refuse
    await publish(lone, resident())
    assert await in_flight(lone) == [1], "no slot is given twice"
    assert await lone.renew("bridge-1") is False, "the budgets are to be seeded"
    assert await lone.renew("bridge-1") is True
    await lone.settle(running.id, 1)
    assert await got_seat(lone, newcomer)
    await lone.settle(newcomer.id, 1)
    assert await got_seat(lone, queued)


async def test_a_ticket_that_redis_lost_is_told_again_by_whoever_waits_for_it(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
    await seated(lone, running)
    await waiting(lone, queued)
    own_redis.say("FLUSHALL")
    await publish(lone, resident(slots=2))
    assert await got_seat(lone, queued)
    assert await in_flight(lone) == [2]


async def test_a_loss_of_data_gives_no_key_its_budget_back(lone: RedisBoard, own_redis: RedisServer) -> None:
    await publish(lone, resident())
    asked = ticket(deadline=FAR, limits=BUDGETED, tokens=900)
    await seated(lone, asked)
    await lone.settle(asked.id, 900)
    await lone.loads()
    own_redis.say("FLUSHALL")
    await publish(lone, resident())
    assert (await refused(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=101))).reason == "budget"
    await seated(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=100))


async def test_the_fencing_number_grows_over_a_loss_of_data(lone: RedisBoard, own_redis: RedisServer) -> None:
    first = await lone.lead("a")
    await asyncio.sleep(0.002)  # the number counts milliseconds
    own_redis.say("FLUSHALL")
    second = await lone.lead("b")
    assert first is not None
    assert second is not None
    assert second > first


async def test_an_answer_that_came_while_this_process_was_busy_is_no_absence(lone: RedisBoard) -> None:
    await publish(lone, resident())
    asking = asyncio.create_task(lone.admit(ticket(deadline=FAR)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the command is on its way
    time.sleep(0.4)  # longer than a trip may take
    assert isinstance(await asking, Seat)
    assert not lone.down


async def test_a_stopped_redis_costs_one_short_wait_and_then_nothing(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    own_redis.pause()
    began = time.monotonic()
    with pytest.raises(BoardDown):
        await lone.admit(ticket(deadline=FAR))
    assert time.monotonic() - began < 1.0
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(BoardDown):
            await lone.admit(ticket(deadline=FAR))
    assert (time.monotonic() - began) / 100 < 0.001
    own_redis.resume()
    await came_up(lone)
    await publish(lone, resident())
    assert await in_flight(lone) == [0]  # what the stopped server still had in its socket was ended


async def test_whoever_waits_is_told_when_redis_goes_away(lone: RedisBoard, own_redis: RedisServer) -> None:
    await publish(lone, resident())
    await seated(lone, ticket(deadline=FAR))
    queued = ticket(deadline=FAR)
    await waiting(lone, queued)
    waiter = asyncio.create_task(lone.wait(queued.id, 30.0))
    await asyncio.sleep(0)
    own_redis.kill()
    async with asyncio.timeout(5.0):
        with pytest.raises(BoardDown):
            await waiter


async def test_what_was_settled_while_redis_was_away_is_made_up(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    asked = ticket(deadline=FAR, limits=BUDGETED, tokens=500)
    await seated(lone, asked)
    own_redis.pause()
    await went_down(lone)
    await lone.settle(asked.id, 500)
    own_redis.resume()
    await came_up(lone)
    assert await in_flight(lone) == [0]
    assert (await refused(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=501))).reason == "budget"
    await seated(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=500))


async def test_a_settling_that_was_done_but_not_confirmed_is_not_charged_twice(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    asked = ticket(deadline=FAR, limits=BUDGETED, tokens=500)
    await seated(lone, asked)
    own_redis.pause()
    await lone.settle(asked.id, 500)  # lies in the server's socket, is done when it goes on, never confirmed
    await went_down(lone)
    own_redis.resume()
    await came_up(lone)
    await seated(lone, ticket(deadline=FAR, limits=BUDGETED, tokens=500))


async def test_a_server_that_comes_back_empty_is_told_what_is_held(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident())
    running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
    await seated(lone, running)
    await waiting(lone, queued)
    own_redis.kill()
    await went_down(lone)
    own_redis.restart()
    await came_up(lone)
    await publish(lone, resident())
    assert await in_flight(lone) == [1]
    await lone.settle(running.id, 1)
    assert await got_seat(lone, queued)


async def test_a_server_that_comes_back_with_old_data_is_told_what_is_held() -> None:
    server = start_redis("--dbfilename", "old.rdb")
    board = RedisBoard(server.url, timeout_s=0.3)
    try:
        await publish(board, resident(slots=2))
        await board.renew("bridge-1")
        ended, running = ticket(deadline=FAR), ticket(deadline=FAR)
        await seated(board, ended)
        server.say("SAVE")
        await board.settle(ended.id, 1)
        await seated(board, running)
        server.kill()
        await went_down(board)
        server.restart()
        await came_up(board)
        assert await in_flight(board) == [1]
        assert await board.admit(running) == await board.admit(running)
    finally:
        await board.aclose()
        server.close()


async def test_a_lease_that_ran_out_is_made_up_for_when_the_holder_is_back() -> None:
    server = start_redis()
    board = RedisBoard(server.url, Bounds(lease_s=0.2), timeout_s=10.0)
    try:
        await publish(board, resident(slots=1))
        running, queued = ticket(deadline=FAR), ticket(deadline=FAR)
        await seated(board, running)
        await waiting(board, queued)
        await asyncio.sleep(0.3)
        await board.renew("bridge-2")  # buries bridge-1
        assert await in_flight(board) == [0]
        assert await board.renew("bridge-1") is False
        assert await in_flight(board) == [1]
        assert [line.waiting for line in await board.demand()] == [1]
        await board.settle(running.id, 1)
        assert await got_seat(board, queued)
    finally:
        await board.aclose()
        server.close()


async def test_a_board_works_on_a_node_of_a_cluster() -> None:
    server = start_redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()), tcp=True)
    board = RedisBoard(server.url, timeout_s=10.0)
    try:
        server.say("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        async with asyncio.timeout(10.0):
            while b"cluster_state:ok" not in server.say("CLUSTER", "INFO"):
                await asyncio.sleep(0.05)
        await publish(board, resident())
        running, queued = ticket(deadline=FAR, limits=BUDGETED), ticket(deadline=FAR)
        await seated(board, running)
        assert isinstance(await board.admit(queued), Place)
        await board.settle(running.id, 1)
        assert await got_seat(board, queued)
        await board.settle(queued.id, 1)
        keys = re.findall(rb"ollama_bridge:\S+", server.say("KEYS", "*"))
        slots = {server.say("CLUSTER", "KEYSLOT", key.decode()) for key in keys}
        assert len(slots) == 1
    finally:
        await board.aclose()
        server.close()


async def test_a_read_only_replica_is_no_board(lone: RedisBoard, own_redis: RedisServer) -> None:
    await publish(lone, resident())
    own_redis.say("REPLICAOF", "127.0.0.1", "1")
    await went_down(lone)
    own_redis.say("REPLICAOF", "NO", "ONE")
    await came_up(lone)
    await seated(lone, ticket(deadline=FAR))


async def test_an_answer_that_is_an_error_is_told_and_ends_nothing_else(
    lone: RedisBoard, own_redis: RedisServer
) -> None:
    await publish(lone, resident(slots=2))
    asked = ticket("ann", deadline=FAR, limits=Limits(requests_per_minute=5))
    own_redis.say("SET", f"{lone._prefix}window:ann", "not a hash")
    with pytest.raises(BoardDown, match="WRONGTYPE"):
        await lone.admit(asked)
    assert not lone.down
    await seated(lone, ticket("bob", deadline=FAR))


async def test_tickets_in_redis_can_be_read_by_a_person(lone: RedisBoard, own_redis: RedisServer) -> None:
    await publish(lone, resident())
    asked = ticket(deadline=FAR)
    await seated(lone, asked)
    reply = own_redis.say("HGET", f"{lone._prefix}tickets:bridge-1", asked.id)
    stored = json.loads(reply.split(b"\r\n")[1])
    assert (stored["model"], stored["node"], stored["key"]) == ("m", "n1", "ann")


async def test_waiting_ends_at_the_deadline_by_the_clock(redis_boards: MakeBoard) -> None:
    board = redis_boards()
    await publish(board, resident())
    await seated(board, ticket(deadline=FAR))
    late = ticket(deadline=time.time() + 0.3)
    await waiting(board, late)
    outcome = await board.wait(late.id, 30.0)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "deadline"

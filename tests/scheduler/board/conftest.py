"""The boards under test: the same suite runs on each."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from scheduler.board.interface import Board, Bounds
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.cast import Clock
from tests.scheduler.board.server import BINARY, RedisServer

PATIENT_S = 10.0  # where no test is about a Redis that is away, a busy machine shall not look like one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounds() -> Bounds:
    return Bounds()


def start_redis(*options: str, tcp: bool = False) -> RedisServer:
    if BINARY is None and not os.environ.get("CI"):
        pytest.skip("no redis-server on this machine")
    return RedisServer(*options, tcp=tcp)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests that leave it alone; each has a namespace of its own."""
    server = start_redis()
    yield server
    server.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that the test may stop, pause or empty."""
    server = start_redis()
    yield server
    server.close()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def board(request: pytest.FixtureRequest, clock: Clock, bounds: Bounds) -> AsyncIterator[Board]:
    made: Board
    if request.param == "memory":
        made = MemoryBoard(bounds, clock=clock)
    else:
        server = request.getfixturevalue("redis_server")
        made = RedisBoard(server.url, bounds, namespace=uuid.uuid4().hex, clock=clock, timeout_s=PATIENT_S)
    yield made
    await made.aclose()


MakeBoard = Callable[[], RedisBoard]


@pytest_asyncio.fixture
async def redis_boards(redis_server: RedisServer) -> AsyncIterator[MakeBoard]:
    """Makes boards that share one namespace on the real server and its clock, and closes them."""
    namespace = uuid.uuid4().hex
    made: list[RedisBoard] = []

    def make() -> RedisBoard:
        made.append(RedisBoard(redis_server.url, namespace=namespace, timeout_s=PATIENT_S))
        return made[-1]

    yield make
    for board in made:
        await board.aclose()

"""Hypothesis drives the board through any sequence of steps; see tests.scheduler.board.machine."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import Phase, settings

from scheduler.board.interface import Board
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard
from tests.scheduler.board.machine import BOUNDS, BoardMachine
from tests.scheduler.board.server import RedisServer


class MemoryMachine(BoardMachine):
    def make_board(self) -> Board:
        return MemoryBoard(BOUNDS, clock=self.clock)


class RedisMachine(BoardMachine):
    url = ""

    def make_board(self) -> Board:
        self.redis = RedisBoard(
            self.url, BOUNDS, namespace=uuid.uuid4().hex, clock=self.clock, timeout_s=10.0
        )
        return self.redis

    def forget(self, name: str) -> None:
        self.redis.held.pop(name)


@pytest.fixture(scope="module", autouse=True)
def machines_server(redis_server: RedisServer) -> None:
    RedisMachine.url = redis_server.url


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)

TestRedis = RedisMachine.TestCase
TestRedis.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),  # shrinking would ask the server for minutes
)

"""The boards under test: the same suite runs on each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from scheduler.board.interface import Board, Bounds
from scheduler.board.memory import MemoryBoard
from tests.scheduler.board.cast import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounds() -> Bounds:
    return Bounds()


@pytest_asyncio.fixture(params=["memory"])
async def board(request: pytest.FixtureRequest, clock: Clock, bounds: Bounds) -> AsyncIterator[Board]:
    made = MemoryBoard(bounds, clock=clock)
    yield made
    await made.aclose()

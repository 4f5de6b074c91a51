"""Hypothesis drives the board through any sequence of steps; see tests.scheduler.board.machine."""

from __future__ import annotations

from hypothesis import settings

from scheduler.board.interface import Board
from scheduler.board.memory import MemoryBoard
from tests.scheduler.board.machine import BOUNDS, BoardMachine


class MemoryMachine(BoardMachine):
    def make_board(self) -> Board:
        return MemoryBoard(BOUNDS, clock=self.clock)


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)

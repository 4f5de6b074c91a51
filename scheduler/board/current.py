"""The board that this process uses, for pages that only look at it."""

from __future__ import annotations

from scheduler.board.interface import Board

_board: Board | None = None


def install(board: Board | None) -> None:
    """Called where the process is put together, and with None where it is taken apart."""
    global _board
    _board = board


def current() -> Board | None:
    """None in a process that serves no requests, such as a command."""
    return _board

"""Tickets, residents and a clock for the tests of the board."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from scheduler.board.interface import Board, Place, Refusal, Resident, Seat, Ticket

START = 1_800_000_000.0  # Unix seconds; a whole minute
_ids = itertools.count(1)


class Clock:
    """Unix seconds that only move when told."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def ticket(key: str = "ann", model: str = "m", **fields: Any) -> Ticket:
    values: dict[str, Any] = {
        "id": f"t{next(_ids)}",
        "holder": "bridge-1",
        "num_ctx": 2048,
        "tokens": 100,
        "deadline": START + 300.0,
    }
    return Ticket(key=key, model=model, **(values | fields))


def resident(node: str = "n1", model: str = "m", **fields: Any) -> Resident:
    values: dict[str, Any] = {"num_ctx": 4096, "slots": 1}
    return Resident(node=node, model=model, **(values | fields))


async def publish(
    board: Board, *residents: Resident, loadable: Mapping[str, float | None] | None = None
) -> int:
    """Lead and publish; every model named is loadable unless `loadable` says otherwise."""
    epoch = await board.lead("scheduler-1")
    assert epoch is not None
    known = {each.model: None for each in residents} | {"m": None} if loadable is None else loadable
    await board.publish(residents, loadable=known, epoch=epoch)
    return epoch


async def seated(board: Board, asked: Ticket) -> Seat:
    answer = await board.admit(asked)
    assert isinstance(answer, Seat), answer
    return answer


async def waiting(board: Board, asked: Ticket) -> Place:
    answer = await board.admit(asked)
    assert isinstance(answer, Place), answer
    return answer


async def refused(board: Board, asked: Ticket) -> Refusal:
    answer = await board.admit(asked)
    assert isinstance(answer, Refusal), answer
    return answer


async def got_seat(board: Board, asked: Ticket, timeout_s: float = 5.0) -> Seat:
    answer = await board.wait(asked.id, timeout_s)
    assert isinstance(answer, Seat), answer
    return answer


async def still_waits(board: Board, asked: Ticket) -> bool:
    return await board.wait(asked.id, 0.0) is None

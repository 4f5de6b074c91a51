"""While the database is away the worker goes on with what it read last, and catches up afterwards."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from django.db import OperationalError

from scheduler.board.memory import MemoryBoard
from scheduler.models import OperatorRequest
from scheduler.residency.rows import Reading, Rows
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import Table, eventually, served, survey, working

pytestmark = pytest.mark.asyncio


class Fickle(Table):
    """A database that goes away."""

    away = False
    tries = 0

    def _check(self) -> None:
        if self.away:
            self.tries += 1
            raise OperationalError("the server closed the connection unexpectedly")

    async def rows(self, known: int | None) -> Rows | None:
        self._check()
        return await super().rows(known)

    async def readings(self) -> dict[str, Reading]:
        self._check()
        return await super().readings()

    async def requests(self) -> list[OperatorRequest]:
        self._check()
        return await super().requests()


async def test_cold_requests_are_served_from_what_was_read_last(
    fake_node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    board, table = MemoryBoard(), Fickle(survey({"n1": fake_node("a=2,b=2")}))
    async with working(board, table) as worker:
        await served(board, "a:latest")
        table.away = True
        with caplog.at_level(logging.WARNING, "scheduler"):
            await eventually(lambda: table.tries > 40)
            assert (await served(board, "b:latest")).load == "cold"
        assert not worker.failed.done()
        away = [r for r in caplog.records if "The database is away" in r.message]
        assert len(away) == 2, "said once for rows and once for operators"
        node = table.now.nodes["n1"]
        table.put(nodes={"n1": replace(node, draining=True)})
        table.away = False
        await eventually(lambda: worker.fleet.rows.nodes["n1"].draining)

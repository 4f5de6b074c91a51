from __future__ import annotations

import asyncio
import logging

import pytest

from scheduler.residency import supervise
from scheduler.residency.supervise import Fatal, Supervisor

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSE_S", (0.0, 0.001))


async def test_a_task_that_dies_is_logged_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, lives, third = Supervisor(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal lives
        lives += 1
        if lives < 3:
            raise ValueError(f"death {lives}")
        third.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        supervisor.run("watch", work)
        await asyncio.wait_for(third.wait(), 2)
    assert supervisor.alive() == ["watch"]
    await supervisor.stop()
    assert [r.message for r in caplog.records] == ["The task watch died; it is started again."] * 2
    assert supervisor.alive() == []


async def test_a_task_that_ends_by_itself_is_started_again_unless_it_may() -> None:
    supervisor, lives, twice = Supervisor(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal lives
        lives += 1
        if lives == 2:
            twice.set()

    async def once() -> None:
        pass

    supervisor.run("rounds", work)
    supervisor.run("node", once, ends=True)
    await asyncio.wait_for(twice.wait(), 2)
    assert "node" not in supervisor.alive()
    await supervisor.stop()


async def test_one_that_dies_again_and_again_ends_the_worker_visibly() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        raise ValueError("it will not come right")

    supervisor.run("rounds", work)
    with pytest.raises(Fatal, match="rounds died 20 times"):
        await asyncio.wait_for(supervisor.failed, 5)
    await supervisor.stop()

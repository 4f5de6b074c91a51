"""With the real database: catalogue sync, a load, its measurement, its ledger entry, the node's state."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from scheduler.board.memory import MemoryBoard
from scheduler.models import LedgerEntry, Measurement, Node
from scheduler.residency.records import DatabaseRecorder
from scheduler.worker import Worker
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import QUICK, QUICKLY, eventually, loadable, seated

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


async def test_an_empty_database_with_one_node_serves_a_request(fake_node: FakeNode) -> None:
    node = fake_node("a=2", slots=2)
    await sync_to_async(Node.objects.create)(name="n1", url=node.url, slots=2, vram_bytes=24 * 2**30)
    board, recorder = MemoryBoard(), DatabaseRecorder()
    worker = Worker(board, pace=QUICK, config=QUICKLY, recorder=recorder)
    await worker.start()
    try:
        await eventually(lambda: loadable(board, "a:latest"))
        mine = await seated(board, "a:latest")
        assert await asyncio.to_thread(recorder.flush, 5.0)
    finally:
        await worker.stop()
    assert mine.num_ctx == 8192
    measured = await Measurement.objects.aget()
    assert (measured.node, measured.num_ctx, measured.slots) == ("n1", 8192, 2)
    assert measured.size_vram == measured.size_bytes > 2e9
    entry = await LedgerEntry.objects.aget(kind="load")
    assert (entry.node, entry.model, entry.cause, entry.outcome) == ("n1", "a:latest", "demand", "ok")
    seen = await Node.objects.aget()
    assert (seen.state, seen.version) == ("up", "0.32.15")
    assert (seen.load_gbps or 0.0) > 1

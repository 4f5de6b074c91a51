from __future__ import annotations

import asyncio
import sys

import pytest

from scheduler.models import CATALOGUE, Node, Revision
from scheduler.residency.source import DatabaseSource
from tests.scheduler.gpus.fake_nvml import GIB, Device, FakeNvml

pytestmark = pytest.mark.django_db(transaction=True)


def test_readings_of_gpus_reach_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(Device(uuid="GPU-1"), Device(uuid="GPU-2")))
    Node.objects.create(name="here", url="http://127.0.0.1:11434", gpu_uuids=["GPU-2"])
    Node.objects.create(name="far", url="http://10.0.0.2:11434")
    before = Revision.objects.number(CATALOGUE)

    async def look() -> dict[str, int]:
        source = DatabaseSource()
        await source.look_at_gpus()
        readings = await source.readings()
        await source.aclose()
        return {name: reading.free_bytes for name, reading in readings.items()}

    assert asyncio.run(look()) == {"here": 60 * GIB}
    assert Node.objects.get(name="here").vram_total == 80 * GIB
    first = Revision.objects.number(CATALOGUE)
    assert first > before, "the worker learns what the node has in all"
    asyncio.run(look())
    assert Revision.objects.number(CATALOGUE) == first, "a further reading is no news for snapshots"

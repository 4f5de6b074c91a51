from __future__ import annotations

import asyncio
import threading

import pytest

from scheduler.gpus import Gpu, GpuReader, GpusUnreadable

pytestmark = pytest.mark.asyncio

GPU = Gpu(uuid="GPU-1", name="H100", total=80, free=60, used=20)


class Sick:
    """Hangs until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.reads = 0

    def read(self) -> list[Gpu]:
        self.reads += 1
        assert self.go_on.wait(30)
        return [GPU]


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self) -> list[Gpu]:
        raise self.error


async def test_a_reading_that_hangs_passes_its_deadline_and_holds_one_thread() -> None:
    sick = Sick()
    reader = GpuReader(sick)
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(GpusUnreadable, match="may hang"):
            await reader.read(deadline_s=0.02)
    assert (sick.reads, threading.active_count()) == (1, before + 1)
    sick.go_on.set()
    assert await reader.read(deadline_s=10) == (GPU,)


async def test_callers_at_the_same_time_share_a_reading() -> None:
    sick = Sick()
    reader = GpuReader(sick)
    waiting = [asyncio.create_task(reader.read(deadline_s=10)) for _ in range(3)]
    impatient = asyncio.create_task(reader.read(deadline_s=0.01))
    with pytest.raises(GpusUnreadable):
        await impatient
    sick.go_on.set()
    assert await asyncio.gather(*waiting) == [(GPU,)] * 3
    assert sick.reads == 1


@pytest.mark.parametrize("error", [GpusUnreadable("Uninitialized"), OSError("Uninitialized")])
async def test_what_the_provider_raises_reaches_the_caller(error: Exception) -> None:
    with pytest.raises(GpusUnreadable, match="Uninitialized"):
        await GpuReader(Broken(error)).read()

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from scheduler.gpus import Gpu, GpusUnreadable, local_provider, nvml
from scheduler.gpus.nvml import NoGpus, Nvml
from tests.scheduler.gpus.fake_nvml import GIB, Device, FakeNvml, NVMLError

POWER = {"util", "power", "temperature", "energy"}


def provider(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> Nvml:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*devices))
    return Nvml()


def test_a_gpu_is_read_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    (gpu,) = provider(monkeypatch, Device()).read()
    assert gpu == Gpu(
        uuid="GPU-1",
        name="NVIDIA H100 80GB HBM3",
        total=80 * GIB,
        free=60 * GIB,
        used=19 * GIB,
        reserved=GIB,
        util=37,
        power_w=312.5,
        temperature=54,
        energy_mj=123_456_789,
    )


def test_a_gpu_that_tells_little_is_read_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(unsupported={"memory_v2", "mig", *POWER}, uuid=b"GPU-1", name=b"Tesla K80")
    (gpu,) = provider(monkeypatch, device).read()
    assert (gpu.uuid, gpu.name, gpu.used, gpu.reserved) == ("GPU-1", "Tesla K80", 20 * GIB, None)
    assert (gpu.util, gpu.power_w, gpu.temperature, gpu.energy_mj) == (None, None, None, None)


def test_mig_instances_are_read_instead_of_their_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    half = Device(uuid="MIG-1", total=40 * GIB, free=30 * GIB)
    other = Device(uuid="MIG-2", total=40 * GIB, free=40 * GIB)
    gpus = provider(monkeypatch, Device(instances=[half, None, other]), Device(uuid="GPU-2")).read()
    assert [(gpu.uuid, gpu.total) for gpu in gpus] == [
        ("MIG-1", 40 * GIB),
        ("MIG-2", 40 * GIB),
        ("GPU-2", 80 * GIB),
    ]
    assert (gpus[0].util, gpus[0].power_w) == (None, None)


def test_memory_shared_with_the_cpu_is_the_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  125829120 kB\nMemFree: 1 kB\nMemAvailable:  104857600 kB\n")
    monkeypatch.setattr(nvml, "MEMINFO", meminfo)
    (gpu,) = provider(monkeypatch, Device(unsupported={"memory_v1", "memory_v2"})).read()
    assert (gpu.total, gpu.free, gpu.used, gpu.unified) == (120 * GIB, 100 * GIB, 20 * GIB, True)


def test_a_lost_gpu_is_left_out_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sick = provider(monkeypatch, Device(lost=True), Device(uuid="GPU-2"))
    assert [[gpu.uuid for gpu in sick.read()] for _ in range(2)] == [["GPU-2"]] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "GPU 0 gives no reading and is left out: GPU is lost"
    ]


def test_a_driver_that_was_loaded_again_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(Device())
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    reading = Nvml()
    fake.reloaded = True
    with pytest.raises(GpusUnreadable, match="Uninitialized"):
        reading.read()
    assert len(reading.read()) == 1
    assert fake.begun == 2


def test_without_a_driver_there_are_no_gpus_and_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)

    def no_driver() -> None:
        raise NVMLError("NVML Shared Library Not Found")

    monkeypatch.setattr(fake, "nvmlInit", no_driver)
    caplog.set_level(logging.INFO)
    found = local_provider()
    assert isinstance(found, NoGpus)
    assert (found.read(), found.read()) == ([], [])
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_the_real_library_agrees_with_the_fake() -> None:
    """Each name that the provider uses exists in nvidia-ml-py, and says the same where it is a number."""
    import pynvml

    for name in (name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML"))):
        assert hasattr(pynvml, name), name
    for name in ("NVML_DEVICE_MIG_ENABLE", "NVML_TEMPERATURE_GPU", "nvmlMemory_v2"):
        assert getattr(pynvml, name) == getattr(FakeNvml, name)
    assert issubclass(pynvml.NVMLError_GpuIsLost, pynvml.NVMLError)
    assert isinstance(local_provider().read(), list)

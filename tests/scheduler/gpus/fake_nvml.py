"""The part of pynvml that the provider uses, over GPUs that tests describe."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 2**30


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class NVMLError_GpuIsLost(NVMLError):
    pass


class NVMLError_NotFound(NVMLError):
    pass


@dataclass(kw_only=True)
class Device:
    uuid: str | bytes = "GPU-1"
    name: str | bytes = "NVIDIA H100 80GB HBM3"
    total: int = 80 * GIB
    free: int = 60 * GIB
    reserved: int = GIB
    unsupported: set[str] = field(default_factory=set)  # calls that answer NotSupported
    lost: bool = False
    instances: list[Device | None] | None = None  # with MIG; None is a gap in the numbering


class FakeNvml:
    """Stands in for the module. Unknown names raise AttributeError, as the real one would."""

    NVMLError = NVMLError
    NVMLError_GpuIsLost = NVMLError_GpuIsLost
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_TEMPERATURE_GPU = 0
    nvmlMemory_v2 = 33554472

    def __init__(self, *devices: Device) -> None:
        self.devices = list(devices)
        self.begun = 0
        self.reloaded = False  # the driver was loaded again: calls fail until nvmlInit

    def nvmlInit(self) -> None:
        self.begun += 1
        self.reloaded = False

    def nvmlDeviceGetCount(self) -> int:
        if self.reloaded:
            raise NVMLError("Uninitialized")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        return self.devices[index]

    def nvmlDeviceGetUUID(self, device: Device) -> str | bytes:
        return self._answer(device, "uuid", device.uuid)

    def nvmlDeviceGetName(self, device: Device) -> str | bytes:
        return self._answer(device, "name", device.name)

    def nvmlDeviceGetUtilizationRates(self, device: Device) -> Any:
        return self._answer(device, "util", SimpleNamespace(gpu=37, memory=12))

    def nvmlDeviceGetPowerUsage(self, device: Device) -> int:
        return self._answer(device, "power", 312_500)

    def nvmlDeviceGetTemperature(self, device: Device, sensor: int) -> int:
        return self._answer(device, "temperature", 54)

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Device) -> int:
        return self._answer(device, "energy", 123_456_789)

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        return self._answer(device, "mig", [int(device.instances is not None), 0])

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return len(device.instances or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        instance = (device.instances or [])[index]
        if instance is None:
            raise NVMLError_NotFound("Not Found")
        return instance

    def nvmlDeviceGetMemoryInfo(self, device: Device, version: int | None = None) -> Any:
        used = device.total - device.free
        if version is None:
            return self._answer(
                device, "memory_v1", SimpleNamespace(total=device.total, free=device.free, used=used)
            )
        split = SimpleNamespace(
            total=device.total, free=device.free, used=used - device.reserved, reserved=device.reserved
        )
        return self._answer(device, "memory_v2", split)

    def _answer(self, device: Device, call: str, value: Any) -> Any:
        if device.lost:
            raise NVMLError_GpuIsLost("GPU is lost")
        if call in device.unsupported:
            raise NVMLError_NotSupported("Not Supported")
        return value

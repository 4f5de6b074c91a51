from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from scheduler.gpus.gpu import Gpu, GpusUnreadable, Provider

log = logging.getLogger(__name__)

MEMINFO = Path("/proc/meminfo")

T = TypeVar("T")


def local_provider() -> Provider:
    """NVML where a driver answers, else no GPUs; said once at INFO."""
    try:
        provider = Nvml()
    except GpusUnreadable as reason:
        log.info("No NVML here (%s): VRAM figures come from the nodes' /api/ps.", reason)
        return NoGpus()
    return provider


class NoGpus:
    """A machine without a driver."""

    def read(self) -> list[Gpu]:
        return []


class Nvml:
    """NVIDIA's management library, by the package nvidia-ml-py. Raises GpusUnreadable without a driver."""

    def __init__(self) -> None:
        # Imported here: a machine without GPUs never pays for it, and tests put their own in its place.
        import pynvml

        self._nvml: Any = pynvml
        self._skipped: set[int] = set()
        self._begin()

    def read(self) -> list[Gpu]:
        """One reading of each GPU or MIG instance. A GPU that fails is left out, and said once."""
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            self._begin()  # the driver was loaded again, most often; the next reading tells
            raise GpusUnreadable(str(error)) from None
        return [gpu for index in range(count) for gpu in self._device(index)]

    def _begin(self) -> None:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise GpusUnreadable(str(error)) from None

    def _device(self, index: int) -> list[Gpu]:
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            if instances := list(self._instances(handle)):
                return [self._instance(instance, handle) for instance in instances]
            return [self._gpu(handle)]
        except (self._nvml.NVMLError, GpusUnreadable) as error:
            if index not in self._skipped:
                log.warning("GPU %d gives no reading and is left out: %s", index, error)
                self._skipped.add(index)
            return []

    def _instances(self, handle: Any) -> Iterator[Any]:
        """The MIG instances of a GPU; none where MIG is off or unknown."""
        mode = self._maybe(self._nvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != self._nvml.NVML_DEVICE_MIG_ENABLE:
            return
        for index in range(self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            instance = self._maybe(self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if instance is not None:  # the numbering has gaps
                yield instance

    def _instance(self, handle: Any, parent: Any) -> Gpu:
        """Utilisation, power and energy are the whole GPU's; an instance has none of its own."""
        name = f"{_text(self._nvml.nvmlDeviceGetName(parent))} MIG"
        return Gpu(uuid=_text(self._nvml.nvmlDeviceGetUUID(handle)), name=name, **self._memory(handle))

    def _gpu(self, handle: Any) -> Gpu:
        nvml = self._nvml
        util = self._maybe(nvml.nvmlDeviceGetUtilizationRates, handle)
        power = self._maybe(nvml.nvmlDeviceGetPowerUsage, handle)  # milliwatts
        return Gpu(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            name=_text(nvml.nvmlDeviceGetName(handle)),
            util=None if util is None else int(util.gpu),
            power_w=None if power is None else power / 1000,
            temperature=self._maybe(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            energy_mj=self._maybe(nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            **self._memory(handle),
        )

    def _memory(self, handle: Any) -> dict[str, Any]:
        """Version 2 tells what the driver reserves; old drivers know version 1, GB10 and Jetson none."""
        read = self._nvml.nvmlDeviceGetMemoryInfo
        memory = self._maybe(read, handle, version=self._nvml.nvmlMemory_v2)
        if memory is None:
            memory = self._maybe(read, handle)
        if memory is None:
            return _machine_memory()
        figures = {name: int(getattr(memory, name)) for name in ("total", "free", "used")}
        reserved = getattr(memory, "reserved", None)
        return {**figures, "reserved": None if reserved is None else int(reserved)}

    def _maybe(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """None where this GPU or driver does not support the call."""
        try:
            return call(*args, **kwargs)
        except self._nvml.NVMLError as error:
            if isinstance(error, self._nvml.NVMLError_GpuIsLost):
                raise
            return None


def _machine_memory() -> dict[str, Any]:
    """Memory that the GPU shares with the CPU, as the kernel counts it. Raises GpusUnreadable."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError) as error:
        raise GpusUnreadable(f"neither NVML nor {MEMINFO} tells the memory: {error}") from None
    return {"total": total, "free": free, "used": total - free, "unified": True}


def _text(value: str | bytes) -> str:
    """Older bindings give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

"""What GPUs say about themselves: on this machine by NVML, on another through `manage.py agent`."""

from __future__ import annotations

from scheduler.gpus.gpu import Gpu, GpusUnreadable, Provider
from scheduler.gpus.nvml import local_provider
from scheduler.gpus.reader import GpuReader
from scheduler.gpus.sources import GpuSources

__all__ = ["Gpu", "GpuReader", "GpuSources", "GpusUnreadable", "Provider", "local_provider"]

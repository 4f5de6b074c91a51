from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

MOST_GPUS = 256  # of one machine; more is no agent's answer
LONGEST_TEXT = 200  # characters


class GpusUnreadable(RuntimeError):
    """The GPUs gave no reading; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One reading of one GPU, or of one MIG instance. None: this GPU does not tell."""

    uuid: str  # never the index: CUDA counts in another order than NVML
    name: str
    total: int  # bytes
    free: int  # bytes; plan with this one
    used: int  # bytes; with or without `reserved`, by the driver's release
    reserved: int | None = None  # bytes that the driver keeps for itself
    util: int | None = None  # percent of the time that a kernel ran
    power_w: float | None = None
    temperature: int | None = None  # degrees Celsius
    energy_mj: int | None = None  # millijoules since the driver was loaded
    unified: bool = False  # memory shared with the CPU: figures are the machine's

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: object) -> Gpu:
        """Raises ValueError for what no agent would say. Unknown fields are left out."""
        if not isinstance(fields, Mapping):
            raise ValueError("a GPU is an object")
        return cls(
            uuid=_text(fields, "uuid"),
            name=_text(fields, "name"),
            total=_number(fields, "total"),
            free=_number(fields, "free"),
            used=_number(fields, "used"),
            reserved=_optional(fields, "reserved"),
            util=_optional(fields, "util"),
            power_w=_optional(fields, "power_w"),
            temperature=_optional(fields, "temperature"),
            energy_mj=_optional(fields, "energy_mj"),
            unified=fields.get("unified") is True,
        )


class Provider(Protocol):
    """Reads the GPUs of this machine. Calls block and may hang on a sick GPU: `GpuReader` makes them."""

    def read(self) -> list[Gpu]:
        """Raises GpusUnreadable."""


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise ValueError(f"{name} is no short text")
    return value


def _number(fields: Mapping[str, Any], name: str) -> Any:
    value = fields.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is no number")
    return value


def _optional(fields: Mapping[str, Any], name: str) -> Any:
    return None if fields.get(name) is None else _number(fields, name)

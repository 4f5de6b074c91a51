"""How a load or an unload can go wrong; the fault switchboard decides, the node obeys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFate:
    """What happens to one attempt to load: `factor` stretches its time."""

    end: Literal["ready", "oom", "hang"] = "ready"
    factor: float = 1.0


class Disturbance(Protocol):
    """Asked once for each attempt to load, and once for each unload."""

    def load_fate(self, model: str) -> LoadFate: ...

    def unload_sticks(self, model: str) -> bool: ...


class Undisturbed:
    """Everything goes well."""

    def load_fate(self, model: str) -> LoadFate:
        return LoadFate()

    def unload_sticks(self, model: str) -> bool:
        return False

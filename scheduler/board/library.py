"""The Lua library of the Redis board (functions need Redis 7 or Valkey).

A function library is compiled once and kept with the data, on replicas too; a script sent by EVALSHA would
make all of its shared parts anew on each call, about a third of what an admission cost. The name carries the
library's own hash, so that two versions of the bridge can run beside each other during an upgrade.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files

PARTS = ("state", "accounts", "lines", "tickets", "admission")  # each may use those before it
OPERATIONS = (
    "admit",
    "move",
    "look",
    "settle",
    "renew",
    "restore",
    "publish",
    "refuse",
    "demand",
    "lead",
    "resign",
    "spent",
    "arrivals",
    "in_flight",
)


@dataclass(frozen=True, slots=True)
class Library:
    """What the server is taught, and what its functions are called there."""

    version: str
    source: str = field(repr=False)

    def function(self, operation: str) -> str:
        return f"{self.version}_{operation}"


def load() -> Library:
    """The library of this version."""
    folder = files("scheduler.board") / "lua"
    names = (*PARTS, "operations", *OPERATIONS)
    text = "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    version = f"ollama_bridge_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Library(version, f"#!lua name={version}\nlocal VERSION = '{version}'\n{text}")


LIBRARY = load()

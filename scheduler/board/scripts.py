"""The Lua scripts of the Redis board: each is what it needs of the shared parts, then its own few lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files

PARTS = ("state", "accounts", "lines", "tickets", "admission")  # each may use those before it
NAMES = (
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
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name under which a server keeps it."""

    name: str
    source: str = field(repr=False)
    sha: str


def _read(name: str) -> str:
    return (files("scheduler.board") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def _load(name: str, parts: str) -> Script:
    source = f"{parts}\n{_read(name)}"
    # EVALSHA names a script by its SHA-1; nothing is secured by it.
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def load_all() -> dict[str, Script]:
    """Every script by name."""
    parts = "\n".join(_read(part) for part in PARTS)
    return {name: _load(name, parts) for name in NAMES}


SCRIPTS = load_all()

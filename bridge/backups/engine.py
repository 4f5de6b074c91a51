"""The database of this bridge, whichever of the two it is, as backups see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import connection, connections

from bridge.backups import postgresql, sqlite


def name() -> str:
    return sqlite.NAME if connection.vendor == "sqlite" else postgresql.NAME


def dump(into: Path) -> None:
    """Raises postgresql.ToolFailed, sqlite3.Error."""
    if name() == sqlite.NAME:
        sqlite.dump(_file(), into)
    else:
        postgresql.dump(_settings(), into)


def check(path: Path) -> None:
    """Raises BadBackup, postgresql.ToolFailed."""
    (sqlite if name() == sqlite.NAME else postgresql).check(path)


def load(path: Path) -> None:
    """Raises BadBackup, postgresql.ToolFailed; nothing has changed then."""
    release()
    if name() == sqlite.NAME:
        sqlite.load(path, _file())
    else:
        postgresql.load(path, _settings())


def in_use() -> str:
    """Who else uses it, in words; empty for nobody."""
    release()
    return sqlite.in_use(_file()) if name() == sqlite.NAME else postgresql.in_use(_settings())


def release() -> None:
    """Close what this process has open."""
    connections.close_all()
    if name() == postgresql.NAME:
        connection.close_pool()  # type: ignore[attr-defined]  # only PostgreSQL's has one


def _file() -> str:
    return str(connection.settings_dict["NAME"])


def _settings() -> dict[str, Any]:
    return dict(connection.settings_dict)

"""SQLite by its online backup: a copy of one moment, and back in one transaction, through its own locks."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bridge.backups.container import BadBackup

NAME = "sqlite"
PATIENCE_S = 10.0  # for a lock of another process
LOOK_S, LOOKS = 0.05, 30  # a bridge reads its tables more often than every half second


def dump(database: str, into: Path) -> None:
    """A copy of the database as it is now; writers go on meanwhile."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(into)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def check(path: Path) -> None:
    """Raises BadBackup unless it is a database without damage."""
    try:
        with closing(sqlite3.connect(path)) as copy:
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BadBackup(f"Its database is damaged: {found}.")


def load(path: Path, database: str) -> None:
    """Replace what is in the database: in one transaction, so that nobody sees half of it. Raises BadBackup
    when another process keeps it locked."""
    end = time.monotonic() + PATIENCE_S

    def patient(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > end:
            raise BadBackup("Another process keeps the database locked; nothing was changed.")

    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(database)) as target:
        source.backup(target, progress=patient)


def in_use(database: str) -> str:
    """Who else has the database open, in words; empty for nobody. Looks for longer than a bridge rests."""
    if not Path(database).exists():
        return ""
    for _ in range(LOOKS):
        if not _alone(database):
            return f"another process has {database} open"
        time.sleep(LOOK_S)
    return ""


def _alone(database: str) -> bool:
    """A database leaves the WAL mode only for its one and only connection."""
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            return False
    return True

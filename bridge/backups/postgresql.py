"""PostgreSQL by its own tools, pg_dump and pg_restore."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from bridge.backups.container import BadBackup

NAME = "postgresql"
LOOK_S, LOOKS = 0.1, 20  # sessions that this process closed are gone by then
OTHERS = """SELECT COALESCE(NULLIF(application_name, ''), 'a program') || ' from ' ||
    COALESCE(host(client_addr), 'this machine') FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


class ToolFailed(RuntimeError):
    """pg_dump or pg_restore is not there or did not do it; the message says why."""


def dump(settings: Mapping[str, Any], into: Path) -> None:
    """Raises ToolFailed."""
    _run("pg_dump", settings, "--format=custom", f"--file={into}")


def check(path: Path) -> None:
    """Raises BadBackup where pg_restore cannot read it, ToolFailed where there is none."""
    done = _tool("pg_restore", ["--list", str(path)], {})
    if done.returncode:
        raise BadBackup(f"Its database cannot be read: {done.stderr.strip()}")


def load(path: Path, settings: Mapping[str, Any]) -> None:
    """Replace the tables, all in one transaction. Raises ToolFailed, and then nothing has changed."""
    flags = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
    _run("pg_restore", settings, *flags, str(path))


def in_use(settings: Mapping[str, Any]) -> str:
    """Who else is connected to the database, in words; empty for nobody."""
    with psycopg.connect(address(settings), password=settings["PASSWORD"] or None) as connection:
        for _ in range(LOOKS):
            others = [str(name) for (name,) in connection.execute(OTHERS)]
            connection.rollback()  # the view stays as it is within a transaction
            if not others:
                return ""
            time.sleep(LOOK_S)
    return f"connected to the database: {', '.join(sorted(set(others)))}"


def address(settings: Mapping[str, Any]) -> str:
    """For libpq, without the password: every user of the machine can read the arguments of a program."""
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    where = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    given = {name: settings[key] for name, key in where.items() if settings[key]}
    return make_conninfo("", **given, **options)


def _run(tool: str, settings: Mapping[str, Any], *arguments: str) -> None:
    password = {"PGPASSWORD": settings["PASSWORD"]} if settings["PASSWORD"] else {}
    done = _tool(tool, [f"--dbname={address(settings)}", "--no-password", *arguments], password)
    if done.returncode:
        raise ToolFailed(f"{tool} failed: {done.stderr.strip()}")


def _tool(tool: str, arguments: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [tool, *arguments], env=os.environ | env, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ToolFailed(
            f"{tool} is not installed here: install PostgreSQL's client programs, not older than the server"
            " (postgresql-client on Debian), or run this where they are."
        ) from None

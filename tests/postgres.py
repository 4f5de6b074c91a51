"""A real PostgreSQL of the test's own: initialised once, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg

from tests.serving import ROOT, free_port

# It refuses to run as root; packages make this user.
USER = "postgres"
START_S = 30.0
# A machine that loses its power may lose everything here; a process that is killed loses nothing.
QUICKLY = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")


def binaries() -> Path | None:
    """Where initdb, postgres, pg_dump and pg_restore are; None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else (Path(on_path).parent if on_path else None)


class PostgresServer:
    """Started at once. `database()` makes a database with the bridge's tables in it."""

    def __init__(self, *settings: str) -> None:
        """`settings`: as in shared_buffers=1GB."""
        self._settings = settings
        directory = binaries()
        assert directory is not None, "PostgreSQL is not installed"
        self.binaries = directory
        self.directory = Path(tempfile.mkdtemp(prefix="bridge-postgres-"))
        self.port = free_port()
        self._user = USER if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.directory, pwd.getpwnam(USER).pw_uid, -1)
        self._data = self.directory / "data"
        flags = ["-N", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "-D", str(self._data)]
        self._run("initdb", *flags)
        self.process = self._start()
        self._template: str | None = None

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The address of a fresh database, migrated: made once, copied for each caller."""
        if self._template is None:
            name = self.empty_database()
            command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
            kept = {
                n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "OLLAMA_", "DJANGO_"))
            }
            env = kept | {"DATABASE_URL": self.url(name), "BRIDGE_DATA_DIR": str(self.directory / "secrets")}
            subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=120)
            self._template = name
        return self.url(self.empty_database(self._template))

    def empty_database(self, template: str = "template1") -> str:
        """The name of a fresh database; `database()` gives addresses of migrated ones."""
        name = f"bridge_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions and stops in order; SIGQUIT crashes, and the next start recovers."""
        self.process.send_signal(how)
        self.process.wait(30)

    def start(self) -> None:
        self.process = self._start()

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *flags: str) -> None:
        command = [str(self.binaries / program), *flags]
        done = subprocess.run(command, user=self._user, capture_output=True, text=True, cwd=self.directory)
        assert done.returncode == 0, done.stderr

    def _start(self) -> subprocess.Popen[bytes]:
        settings = [part for setting in (*QUICKLY, *self._settings) for part in ("-c", setting)]
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory), "-D", str(self._data)]
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(self.binaries / "postgres"), *where, *settings],
                user=self._user,
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_S
        while not self._answers():
            assert process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < end, (self.directory / "log").read_text()
            time.sleep(0.02)
        return process

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def rows(url: str, query: str, *values: object) -> list[dict[str, Any]]:
    """What a query answers, a dictionary a row."""
    from psycopg.rows import dict_row

    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

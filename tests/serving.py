"""A real bridge for tests: `manage.py serve` as a subprocess, with a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 30.0
# No TLS is spoken here: reading the certificate authorities would cost 50 ms for each client.
PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}


class Bridge:
    """Start it, point a client at `url` with a key of `key()`, read what it recorded with `records()`."""

    def __init__(self, data_dir: Path, *, nodes: list[str], **env: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "OLLAMA_", "DJANGO_"))}
        self.env = kept | {
            "BRIDGE_DATA_DIR": str(data_dir),
            "BRIDGE_PORT": str(self.port),
            "OLLAMA_URL": ",".join(nodes),
            "PYTHONUNBUFFERED": "1",
            **env,
        }
        self.log = data_dir / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *args: str, check: bool = True) -> str:
        """Run a command against this bridge's data and give its output."""
        command = [sys.executable, "manage.py", *args]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(args)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def key(self, name: str = "test", *flags: str) -> str:
        """A fresh key; the server knows it when this returns."""
        text: str = json.loads(self.manage("createkey", name, "--json", *flags))["key"]
        if self.process is not None:
            self.until(lambda: self.knows(text))
        return text

    def knows(self, key: str) -> bool:
        """Whether every process of the server does: each connection may reach another one."""
        asked = 1 if self.env.get("BRIDGE_WORKERS", "1") == "1" else 12
        # 429 is what whoever asks with an unknown key again and again is told.
        return all(self.get("/v1/models", key).status_code not in (401, 429) for _ in range(asked))

    def start(self) -> Bridge:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )
        self.until(self.ready)
        return self

    def ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the bridge ended while it started:\n{self.log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            return self.get("/readyz").status_code == 200
        return False

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(PATIENCE_S)
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.kill()

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(self.url + path, headers=headers, timeout=PATIENCE_S, **PLAIN)

    def client(self, key: str, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, **{**PLAIN, **options})

    def records(self, **where: Any) -> list[dict[str, Any]]:
        """Usage records now in the database, oldest first."""
        with contextlib.closing(sqlite3.connect(self.data_dir / "bridge.sqlite3")) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute("SELECT * FROM bridge_usagerecord ORDER BY at, id").fetchall()
        return [dict(row) for row in rows if all(row[name] == value for name, value in where.items())]

    def record(self, request_id: str) -> dict[str, Any]:
        """The one record of a request, once it is there."""
        self.until(lambda: self.records(request_id=request_id))
        (record,) = self.records(request_id=request_id)
        return record

    def until(self, true: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
        """Wait for a condition by asking it again; the time limit is for a broken test only."""
        end = time.monotonic() + within_s
        while not true():
            if time.monotonic() > end:
                raise AssertionError(
                    f"it did not become true in {within_s} s:\n{self.log.read_text()[-4000:]}"
                )
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def migrated(directory: Path) -> Path:
    """A data directory whose database is migrated: made once, copied for each bridge."""
    env = {n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "OLLAMA_", "DJANGO_"))}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=env | {"BRIDGE_DATA_DIR": str(directory)}, check=True, timeout=120)
    return directory


def copied(template: Path, directory: Path) -> Path:
    shutil.copytree(template, directory)
    return directory

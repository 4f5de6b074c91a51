"""`manage.py quickstart` on a fresh machine: one command from nothing to a served completion."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import PATIENCE_S, PLAIN, ROOT, Bridge, free_port

KEY = re.compile(r"obk_\w+")
LINK = re.compile(r"Admin, signs you in once:\s+(http\S+)")
PROOF = re.compile(r"A first completion through the bridge.*\n\s+(\S.*)")


class Quickstart(Bridge):
    """The command beside its own data directory. OLLAMA_HOST names a port where nothing listens."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, nodes=[])
        self.env["OLLAMA_HOST"] = f"127.0.0.1:{free_port()}"

    def start(self, *flags: str) -> Quickstart:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "quickstart", "--demo", *flags],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the whole group, as from a terminal
            )
        return self

    def shown(self) -> str:
        return self.log.read_text()

    def interrupt(self) -> int:
        """Ctrl-C, and the exit status."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        assert self.process is not None
        status = self.process.wait(PATIENCE_S)
        self.process = None
        return status


@pytest.fixture
def quickstart(tmp_path: Path) -> Iterator[Quickstart]:
    data = tmp_path / "data"
    data.mkdir()
    command = Quickstart(data)
    yield command
    command.close()


def test_a_fresh_start_shows_a_key_a_link_and_a_completion_and_a_second_one_is_harmless(
    quickstart: Quickstart,
) -> None:
    assert quickstart.start("--exit").ended() == 0, quickstart.shown()
    first = quickstart.shown()
    (key,) = set(KEY.findall(first))
    link = LINK.search(first)
    assert link is not None
    proof = PROOF.search(first)
    assert proof is not None
    assert "[failed" not in proof[1]
    assert [r["outcome"] for r in quickstart.records()] == ["answered"]
    for secret in quickstart.data_dir.iterdir():
        if secret.suffix not in (".log", ".sqlite3") and secret.is_file():
            assert secret.stat().st_mode & 0o077 == 0, secret

    quickstart.start()
    quickstart.until(lambda: "Ctrl-C ends it" in quickstart.shown())
    assert not KEY.search(quickstart.shown().replace("obk_…", ""))
    assert "API keys were made before" in quickstart.shown()
    reply = curl(quickstart, key)
    assert reply["choices"][0]["message"]["content"]
    with httpx.Client(timeout=PATIENCE_S, **PLAIN) as browser:
        welcome = browser.get(link[1])
        assert (welcome.status_code, welcome.headers["location"]) == (302, "/admin/")
        assert browser.get(f"{quickstart.url}/admin/").status_code == 200
        assert browser.get(link[1]).status_code == 403  # once
    assert quickstart.interrupt() == 0, quickstart.shown()
    assert "Traceback" not in quickstart.shown()


def curl(bridge: Bridge, key: str) -> dict[str, list[dict[str, dict[str, str]]]]:
    """What the shown command line does, with a key of before."""
    line = re.search(r"curl (\S+) .*\\\n\s+.*-d '(.*)'", bridge.log.read_text())
    assert line is not None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    reply = httpx.post(line[1], content=line[2], headers=headers, timeout=PATIENCE_S, **PLAIN)
    assert reply.status_code == 200, reply.text
    shown: dict[str, list[dict[str, dict[str, str]]]] = reply.json()
    return shown


def test_a_taken_port_is_said_and_not_a_traceback(quickstart: Quickstart) -> None:
    taken = free_port()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", taken))
        listener.listen()
        quickstart.env["BRIDGE_PORT"] = str(taken)
        assert quickstart.start("--exit").ended() != 0
    assert "BRIDGE_PORT chooses another" in quickstart.shown()
    assert "Traceback" not in quickstart.shown()

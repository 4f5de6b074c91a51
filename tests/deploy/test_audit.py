"""The audit of locked packages, against a stand-in for OSV that answers as its documentation says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, read
from tests.serving import free_port

LOCK = """\
django==5.2.19 \\
    --hash=sha256:aa
    # via -r requirements/base.in
old-thing==1.0 ; python_version < '4' \\
    --hash=sha256:bb
"""


class Osv(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        bad = {"vulns": [{"id": "GHSA-xxxx", "modified": "2026-01-01T00:00:00Z"}]}
        results = [bad if each["package"]["name"] == "old-thing" else {} for each in asked]
        body = json.dumps({"results": results}).encode()
        self.send_response(200 if self.path == "/v1/querybatch" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def osv() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def audit(lock: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "audit.py"), "--lock", str(lock), "--url", url, "--timeout", "5"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_package_with_an_advisory_is_named_and_fails(osv: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    done = audit(tmp_path / "lock", osv)
    assert (done.returncode, done.stdout) == (
        1,
        "old-thing==1.0: GHSA-xxxx\n2 packages, 1 with advisories.\n",
    )


def test_packages_without_one_pass(osv: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK.partition("old-thing")[0])
    assert audit(tmp_path / "lock", osv).returncode == 0


def test_without_the_net_nothing_fails_and_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    done = audit(tmp_path / "lock", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 0
    assert "nothing is known about 2 packages" in done.stderr


@pytest.mark.parametrize("name", ["base", "dev"])
def test_every_locked_package_has_its_hashes(name: str) -> None:
    """What the audit cannot see offline, this can: nothing unpinned gets in."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", read(f"requirements/{name}.txt").strip())
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]

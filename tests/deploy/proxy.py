"""Real nginx with the repository's own configuration: only ports, upstreams and paths of secrets differ."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.deploy.files import NGINX
from tests.serving import PATIENCE_S, free_port

UPSTREAM = (
    "upstream bridge {{ zone bridge 128k; least_conn; {servers} keepalive 64; keepalive_timeout 60s; }}\n"
)


class Nginx:
    """`conf` is one of deploy/nginx; `files` gives the path of each file under /run/secrets."""

    def __init__(
        self,
        directory: Path,
        bridges: Sequence[str],
        *,
        conf: str = "nginx.conf",
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.directory = directory
        shutil.copytree(NGINX, directory / "conf")
        self.ports = {number: free_port() for number in ("8080", "8081", "8443")}
        for path in (directory / "conf").glob("*.conf"):
            path.write_text(self._here(path.read_text(), files or {}))
        servers = " ".join(f"server {bridge} max_fails=0;" for bridge in bridges)
        (directory / "conf" / "upstream.conf").write_text(UPSTREAM.format(servers=servers))
        self.conf = directory / "conf" / conf
        self.process: subprocess.Popen[bytes] | None = None

    def _here(self, text: str, files: Mapping[str, Path]) -> str:
        text = re.sub(
            r"(listen (?:127\.0\.0\.1:)?)(\d+)",
            lambda found: f"listen 127.0.0.1:{self.ports[found[2]]}",
            text,
        )
        text = text.replace("/dev/stdout", str(self.directory / "access.log"))
        text = text.replace("error_log stderr", f"error_log {self.directory / 'error.log'}")
        text = text.replace("worker_processes auto", "worker_processes 1")
        return re.sub(r"/run/secrets/(\w+)", lambda found: str(files.get(found[1], found[0])), text)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['8080']}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.ports['8443']}"

    def command(self, *more: str) -> list[str]:
        return ["nginx", "-p", str(self.directory), "-c", str(self.conf), *more]

    def checked(self) -> str:
        """What `nginx -t` says; raises where it refuses."""
        done = subprocess.run(self.command("-t"), capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def start(self) -> Nginx:
        self.checked()
        with (self.directory / "nginx.log").open("ab") as log:
            self.process = subprocess.Popen(self.command("-g", "daemon off;"), stdout=log, stderr=log)
        for _ in range(500):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{self.ports['8081']}/", trust_env=False, timeout=5)
                return self
            if self.process.poll() is not None:
                break
        raise AssertionError(f"nginx does not answer:\n{(self.directory / 'nginx.log').read_text()}")

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def logged(self) -> str:
        """Everything that it wrote."""
        names = ("access.log", "error.log", "nginx.log")
        return "".join(
            (self.directory / name).read_text() for name in names if (self.directory / name).exists()
        )

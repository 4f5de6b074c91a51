"""What is measured: each target is a started server and the routes that it speaks."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.environments import ROOT, virtual_environment
from tests.bench.load import http_request
from tests.bench.processes import Process, free_port
from tests.bench.upstream import MODEL

PATHS = {"native": "/api/chat", "openai": "/v1/chat/completions"}

PEERS = ("nginx", "litellm")
LITELLM = "litellm[proxy]==1.106.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    port: int
    routes: tuple[str, ...]
    process: Process | None = None  # None for the upstream itself
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(
        self, route: str, *, stream: bool, chunks: int = 1, gap_ms: int = 0, wait_ms: int = 0
    ) -> bytes:
        body = _chat(f"Say something. chunks={chunks} gap={gap_ms} wait={wait_ms}", stream=stream)
        return http_request(self.port, PATHS[route], dict(self.headers), body)


def _chat(prompt: str, *, stream: bool) -> bytes:
    message = {"role": "user", "content": prompt}
    return json.dumps({"model": MODEL, "messages": [message], "stream": stream}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a target is started."""

    upstream_port: int
    core: int
    folder: Path  # for configuration, logs and data


def start_upstream(core: int, folder: Path) -> tuple[Process, int]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
    process = Process("upstream", command, core=core, log=folder / "upstream.log")
    process.wait_ready(f"http://127.0.0.1:{port}/")
    return process, port


def direct(place: Place) -> Target:
    return Target(name="direct", port=place.upstream_port, routes=("native", "openai"))


_NGINX = """
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 10000000;
  upstream node {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://node;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def nginx(place: Place) -> Target:
    port = free_port()
    conf = place.folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder=place.folder, upstream=place.upstream_port, port=port))
    command = ["nginx", "-p", str(place.folder), "-c", str(conf), "-g", "daemon off;"]
    process = Process("nginx", command, core=place.core, log=place.folder / "nginx.log")
    process.wait_ready(f"http://127.0.0.1:{port}/")
    return Target(name="nginx", port=port, routes=("native", "openai"), process=process)


def litellm(place: Place) -> Target:
    """Its cheapest set-up: one key compared in memory, no database, OpenAI in and OpenAI out."""
    port = free_port()
    base = f"http://127.0.0.1:{place.upstream_port}/v1"
    params = {"model": f"openai/{MODEL}", "api_base": base, "api_key": "none"}
    conf = place.folder / "litellm.yaml"
    # JSON is YAML.
    conf.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": params}]}))
    key = f"sk-{secrets.token_hex(32)}"
    env = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    program = virtual_environment(".venv-litellm", LITELLM) / "litellm"
    command = [str(program), "--config", str(conf), "--host", "127.0.0.1", "--port", str(port)]
    log = place.folder / "litellm.log"
    process = Process("litellm", [*command, "--num_workers", "1"], core=place.core, log=log, env=env)
    process.wait_ready(f"http://127.0.0.1:{port}/health/liveliness")
    headers = {"Authorization": f"Bearer {key}"}
    return Target(name="litellm", port=port, routes=("openai",), process=process, headers=headers)


def bridge(place: Place) -> Target:
    """The whole bridge in one process: keys, admission, accounting and scheduler."""
    port = free_port()
    env = {
        "BRIDGE_DATA_DIR": str(place.folder / "bridge-data"),
        "BRIDGE_HOST": "127.0.0.1",
        "BRIDGE_PORT": str(port),
        "BRIDGE_DEFAULT_SLOTS": "1100",  # the upstream has no slots: every open stream shall get a seat
        "OLLAMA_URL": f"http://127.0.0.1:{place.upstream_port}",
        "REDIS_URL": "",
        "DATABASE_URL": "",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    _manage(manage, env, "migrate", "--no-input")
    key = json.loads(_manage(manage, env, "createkey", "bench", "--json"))["key"]
    log = place.folder / "bridge.log"
    process = Process("bridge", [*manage, "serve"], core=place.core, log=log, env=env)
    headers = {"Authorization": f"Bearer {key}"}
    # Its scheduler first has to find the node and its model.
    first = {"headers": headers, "data": _chat("hello", stream=False)}
    process.wait_ready(f"http://127.0.0.1:{port}{PATHS['native']}", **first)
    return Target(name="bridge", port=port, routes=("native", "openai"), process=process, headers=headers)


def _manage(manage: list[str], env: Mapping[str, str], *args: str) -> str:
    run = subprocess.run(
        [*manage, *args], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(f"manage.py {args[0]} failed:\n{run.stderr[-2000:]}")
    return run.stdout


STARTERS: dict[str, Callable[[Place], Target]] = {
    "direct": direct,
    "nginx": nginx,
    "litellm": litellm,
    "bridge": bridge,
}

"""Clients under one server, and servers over one client."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.bench.environments import ROOT, parts_environment
from tests.bench.processes import Process, free_port
from tests.bench.targets import Place, Target, direct, nginx

APP = "tests.bench.parts.app:app"
# Each stops on SIGTERM with as much time for open streams as its options allow.
SERVERS = {
    "uvicorn": "uvicorn {app} --host 127.0.0.1 --port {port} --loop uvloop --http httptools --no-access-log"
    " --log-level warning --backlog 4096 --timeout-graceful-shutdown 30",
    "granian": "granian {app} --interface asgi --http 1 --host 127.0.0.1 --port {port} --loop uvloop"
    " --no-ws --log-level warning --backlog 4096 --workers-kill-timeout 30",
    "daphne": "daphne -b 127.0.0.1 -p {port} -v 0 --application-close-timeout 30 {app}",
}


def part(server: str, client: str, place: Place) -> Target:
    port = free_port()
    program, *options = SERVERS[server].format(app=APP, port=port).split()
    name = f"{server}+{client}"
    env = {
        "BENCH_CLIENT": client,
        "BENCH_UPSTREAM": f"http://127.0.0.1:{place.upstream_port}",
        "PYTHONPATH": str(ROOT),
    }
    command = [str(parts_environment() / program), *options]
    process = Process(name, command, core=place.core, log=place.folder / f"{name}.log", env=env)
    process.wait_ready(f"http://127.0.0.1:{port}/")
    return Target(name=name, port=port, routes=("native",), process=process)


_PAIRS = (
    ("uvicorn", "ours"),
    ("uvicorn", "ours_handle"),
    ("uvicorn", "ours_httpx"),
    ("uvicorn", "aiohttp"),
    ("uvicorn", "httpx"),
    ("granian", "ours"),
    ("daphne", "ours"),
)
PARTS: dict[str, Callable[[Place], Target]] = {
    "direct": direct,
    "nginx": nginx,
    **{f"{server}+{client}": partial(part, server, client) for server, client in _PAIRS},
}

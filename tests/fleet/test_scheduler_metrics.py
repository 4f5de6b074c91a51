"""A scheduler of its own shows the fleet at an address of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.scheduler.board.server import BINARY, RedisServer
from tests.serving import ROOT, copied, free_port


@pytest.mark.skipif(BINARY is None, reason="redis-server is not installed.")
def test_the_scheduler_that_leads_says_so_at_its_own_address(empty_data: Path, tmp_path: Path) -> None:
    redis, port = RedisServer(tcp=True), free_port()
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    env = kept | {"BRIDGE_DATA_DIR": str(copied(empty_data, tmp_path / "data")), "REDIS_URL": redis.url}
    command = [sys.executable, "manage.py", "runscheduler", "--metrics-port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    try:
        end = time.monotonic() + 30
        while "ollama_bridge_leader 1.0" not in page(port):
            assert process.poll() is None
            assert time.monotonic() < end, page(port)
            time.sleep(0.05)
        assert "ollama_bridge_loads_total" in page(port)
    finally:
        process.terminate()
        process.wait(20)
        redis.close()


def page(port: int) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return ""

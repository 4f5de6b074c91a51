"""A plan's processes end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30.0


@contextmanager
def planning(data: Path) -> Iterator[subprocess.Popen[str]]:
    """A plan that takes long, in two processes beside its own."""
    command = [sys.executable, "manage.py", "plan", "pipelines:1", "--jobs", "2", "--all", "--json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "DJANGO_"))}
    plan = subprocess.Popen(
        command,
        cwd=ROOT,
        env=kept | {"BRIDGE_DATA_DIR": str(data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield plan
    finally:
        plan.kill()
        plan.communicate()


def replaying(pid: int) -> list[int]:
    """The pids of its pool; its resource tracker is none of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_the_pool_ends_with_the_plan(empty_data: Path, sent: signal.Signals, status: int) -> None:
    with planning(empty_data) as plan:
        until(lambda: len(replaying(plan.pid)) == 2)
        pool = replaying(plan.pid)
        if sent == signal.SIGKILL:
            plan.kill()
        else:
            os.killpg(plan.pid, sent)  # as a terminal does
        _, said = plan.communicate(timeout=PATIENCE_S)
        assert plan.returncode == status
        assert sent == signal.SIGKILL or said.strip() == "CommandError: Stopped; nothing was written."
        until(lambda: not any(alive(pid) for pid in pool))

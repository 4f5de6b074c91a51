"""Processes under measurement: started, pinned to a core, read from /proc, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def cores() -> tuple[int, int]:
    """The core of the proxies and the core of upstream and load."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise SystemExit("the bench needs two cores: one for the proxy, one for upstream and load")
    return available[0], available[1]


def busy_s(core: int) -> float:
    """Seconds that the core has worked since it was started, for anybody."""
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")
    )
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of a process and all its descendants."""

    cpu_s: float
    rss_kib: int
    threads: int


class Process:
    """A program on one core, with its output in a file."""

    def __init__(
        self, name: str, command: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.core = core
        self._log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def wait_ready(self, url: str, *, timeout_s: float = 120.0, **request: Any) -> None:
        """Return when the URL answers 200; SystemExit with the end of its output when it does not.

        `request` has the headers and data of urllib.request.Request.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                break
            if _answers(urllib.request.Request(url, **request)):
                return
            time.sleep(0.2)
        tail = self._log.read_text(errors="replace")[-3000:]
        raise SystemExit(f"{self.name} did not become ready at {url}. Its last words:\n{tail}")

    def usage(self) -> Usage:
        stats = [_stat(pid) for pid in _family(self._popen.pid)]
        return Usage(
            cpu_s=sum(int(stat[11]) + int(stat[12]) for stat in stats) / _TICKS,
            rss_kib=sum(int(stat[21]) for stat in stats) * _PAGE // 1024,
            threads=sum(int(stat[17]) for stat in stats),
        )

    def stop(self) -> None:
        """End it and what it started: politely, then by force."""
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGTERM)
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._popen.pid, signal.SIGKILL)
                self._popen.wait(10)


def _answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the program's name (man 5 proc: field 3 is index 0)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))

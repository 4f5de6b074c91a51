"""A simulated node as a child process: for tests, benches and the quickstart."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_ROOT = Path(__file__).resolve().parent.parent.parent
_START_S = 30.0
_STOP_S = 3.0


class NodeFailed(RuntimeError):
    """The node's process ended before it listened; the message holds what it wrote."""


class NodeProcess:
    """One node, started at once. Flags are those of the command line: `load_gbps=8`, `tps=0`,
    `fault=["hang"]`, `no_cloud=True`. It dies with this process."""

    def __init__(
        self, models: str | None = None, *, vram_gib: float | None = None, port: int = 0, **flags: Any
    ):
        given = {"models": models, "vram": vram_gib, "port": port, **flags}
        self._arguments = _arguments(given)
        self._process = self._start()
        self.url = self._await_listening()
        self._client = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def report(self) -> dict[str, Any]:
        """What the node saw: loads, reloads with cause, evictions, aborted loads, peaks."""
        return dict(self._call("GET", "/_sim/report"))

    def state(self) -> dict[str, Any]:
        return dict(self._call("GET", "/_sim/state"))

    def reset(self) -> None:
        """Start the report anew."""
        self._call("POST", "/_sim/reset")

    def arm(self, kind: str, model: str = "", **fields: float) -> None:
        """Arm a fault; fields are count, value and after."""
        self._call("POST", "/_sim/faults", json=[{"kind": kind, "model": model, **fields}])

    def disarm(self) -> None:
        """Clear every fault."""
        self._call("DELETE", "/_sim/faults")

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()
        self._reap()

    def stop(self) -> None:
        """End it in order; nothing happens when it has ended already."""
        if self.alive:
            self._process.terminate()
        self._reap()

    def wait(self, seconds: float = 10.0) -> int:
        """Wait until it has ended by itself; its exit status."""
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        return self._client.request(method, path, **kwargs).raise_for_status().json()

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-m", "scheduler.simulator", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it in order
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def _await_listening(self) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if select.select([self._process.stdout], [], [], 0.2)[0]:
                line = self._process.stdout.readline().decode()
                if line.startswith("listening on "):
                    return line.removeprefix("listening on ").strip()
                break
        self._process.kill()
        self._reap()
        raise NodeFailed(f"the simulated node did not start: {' '.join(self._arguments)}")

    def _reap(self) -> None:
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if hasattr(self, "_client"):
            self._client.close()


def _arguments(flags: dict[str, Any]) -> list[str]:
    """Keyword arguments as flags: True is a bare flag, a list repeats it, None leaves it out."""
    arguments = ["--until-stdin-closes"]
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif isinstance(value, list | tuple):
            arguments += [text for item in value for text in (flag, str(item))]
        elif value is not None and value is not False:
            arguments += [flag, str(value)]
    return arguments

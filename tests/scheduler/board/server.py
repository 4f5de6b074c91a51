"""A real redis-server of the test's own, on a unix socket or a free port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """Started at once; data are kept over `restart` only when `save` is given."""

    def __init__(self, *options: str, tcp: bool = False) -> None:
        assert BINARY is not None
        self._directory = tempfile.mkdtemp(prefix="board-redis-")
        self._socket = str(Path(self._directory) / "s")
        self._port = free_port() if tcp else 0
        self._options = options
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0" if self._port else f"unix://{self._socket}"

    def _start(self) -> subprocess.Popen[bytes]:
        options = [
            "--port",
            str(self._port),
            "--unixsocket",
            self._socket,
            "--save",
            "",
            "--bind",
            "127.0.0.1",
        ]
        process = subprocess.Popen(
            [str(BINARY), *options, "--dir", self._directory, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10.0
        while not self._answers():
            assert process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.01)
        return process

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(self._socket)
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def say(self, *command: str) -> bytes:
        """The raw reply to one command."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self._socket)
            line.sendall(b"*%d\r\n" % len(command))
            for word in command:
                line.sendall(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()))
            return line.recv(65_536)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        Path(self._socket).unlink(missing_ok=True)
        self.process = self._start()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

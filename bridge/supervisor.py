"""Several web processes on one socket: started, watched, rolled and stopped by one parent.

SIGHUP rolls: a fresh process is up before an old one hands over, so no request meets a closed door. SIGTERM
and SIGINT stop all, each in order; a second one ends the waiting. A worker that died is replaced.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from multiprocessing import connection, get_context, parent_process
from multiprocessing.synchronize import Event
from types import FrameType
from typing import Any

from bridge import server
from bridge.server import HAND_OVER

log = logging.getLogger(__name__)

SPAWN = get_context("spawn")  # a fork would share the parent's database connections
UP_S = 60.0  # a process that does not serve by then will not
LOOK_S = 0.2
PAUSE_S = 1.0  # between a worker's death and its successor, lest a broken one fill the log
ENDS = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """One web process. `up` is set once it serves."""

    def __init__(self, given: Mapping[str, Any], listener: socket.socket) -> None:
        self.up = SPAWN.Event()
        self.process = SPAWN.Process(target=serve, args=(dict(given), listener, self.up))
        self.process.start()

    def tell(self, number: signal.Signals) -> None:
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, number)


class Supervisor:
    """`run` serves until it is told to stop; its result is the exit status."""

    def __init__(self, given: Mapping[str, Any], listener: socket.socket, count: int) -> None:
        self._given = given
        self._listener = listener
        self._count = count
        self._workers: list[Worker] = []
        self._retired: list[Worker] = []
        self._ends = 0  # how often it was told to stop
        self._roll = False

    def run(self) -> int:
        for number in (*ENDS, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._workers = [self._worker() for _ in range(self._count)]
        if not all(self._comes_up(worker) for worker in list(self._workers)) and not self._ends:
            log.error("a web process did not come up; its own lines say why")
            self._stop()
            return 1
        while not self._ends:
            self._watch()
        self._stop()
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._roll = True
        else:
            self._ends += 1

    def _worker(self) -> Worker:
        return Worker(self._given, self._listener)

    def _watch(self) -> None:
        connection.wait([worker.process.sentinel for worker in self._workers], timeout=LOOK_S)
        self._retired = [worker for worker in self._retired if worker.process.is_alive()]
        for place, worker in enumerate(self._workers):
            if not worker.process.is_alive() and not self._ends:
                log.error("web process %s ended (%s)", worker.process.pid, worker.process.exitcode)
                time.sleep(PAUSE_S)
                self._workers[place] = self._worker()
        if self._roll and not self._ends:
            self._roll = False
            self._replace_all()

    def _replace_all(self) -> None:
        """One after the other; stops at the first that does not come up, and the old ones stay."""
        for place, old in enumerate(self._workers):
            fresh = self._worker()
            if not self._comes_up(fresh):
                self._retired.append(fresh)
                fresh.tell(signal.SIGTERM)
                log.error("the new web process %s did not come up; the others stay", fresh.process.pid)
                return
            self._workers[place] = fresh
            self._retired.append(old)
            old.tell(HAND_OVER)
        log.info("all %d web processes were replaced", self._count)

    def _comes_up(self, worker: Worker) -> bool:
        end = time.monotonic() + UP_S
        while time.monotonic() < end and worker.process.is_alive() and not self._ends:
            if worker.up.wait(LOOK_S):
                return True
        return worker.up.is_set()

    def _stop(self) -> None:
        """Each worker ends in its own time, bounded by BRIDGE_DRAIN_TIMEOUT; asked again, at once."""
        told = 0
        alive = [*self._workers, *self._retired]
        while alive:
            if told < max(self._ends, 1):
                told += 1
                for worker in alive:
                    worker.tell(signal.SIGTERM)
            connection.wait([worker.process.sentinel for worker in alive], timeout=LOOK_S)
            alive = [worker for worker in alive if worker.process.is_alive()]


def serve(given: dict[str, Any], listener: socket.socket, up: Event) -> None:
    """A web process, from its start to its end. It ends in order when its parent is gone."""
    server.end_well_on_sigterm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent says when
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    server.WebServer(server.config(**given), up=up.set).run([listener])


def end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

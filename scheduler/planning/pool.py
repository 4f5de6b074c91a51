"""Replays side by side in a bounded number of processes that end with the plan, and when it is cancelled."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from typing import Any

from scheduler.planning.estimate import Candidate, Estimate, Workload, estimate
from scheduler.planning.search import Run

LOOK_S = 0.2  # between two looks at whether the plan was cancelled
_here: dict[str, Any] = {}  # of a worker process: its workload, and the event that ends it


class Cancelled(Exception):
    """The plan was given up."""


class Failed(RuntimeError):
    """A worker process ended; the message says what may have happened."""


@contextmanager
def replays(workload: Workload, jobs: int, alive: Callable[[], None]) -> Iterator[Run]:
    """A function that replays candidates, at most `jobs` at once. `alive` is called a few times a second, and
    ends everything by raising. Raises Failed when a worker process dies."""
    if jobs == 1:
        yield lambda candidates: [estimate(workload, candidate, alive) for candidate in candidates]
        return
    context = get_context("spawn")  # a fork would copy locks that other threads hold
    stop = context.Event()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(workload, stop)) as pool:
        _start(pool, jobs)

        def run(candidates: Sequence[Candidate]) -> list[Estimate]:
            return _collected([pool.submit(_replay, candidate) for candidate in candidates], alive)

        try:
            yield run
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _start(pool: ProcessPoolExecutor, jobs: int) -> None:
    """Begin all processes deaf to Ctrl-C, which reaches every process of a terminal: the first one hears it,
    and tells the others. Children have the mask of the thread that begins them, and keep it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        for _ in range(jobs):
            pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collected(futures: list[Future[Estimate]], alive: Callable[[], None]) -> list[Estimate]:
    pending = set(futures)
    while pending:
        alive()
        _, pending = wait(pending, timeout=LOOK_S)
    try:
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise Failed(
            "A worker process was ended from outside, most likely for want of memory: use fewer --jobs."
        ) from None


def _begin(workload: Workload, stop: Any) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _here.update(workload=workload, stop=stop)


def _leave_with_parent() -> None:
    """A pool's processes outlive a parent that is killed: they wait for work that nobody sends."""
    parent = parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _replay(candidate: Candidate) -> Estimate:
    return estimate(_here["workload"], candidate, _still_wanted)


def _still_wanted() -> None:
    if _here["stop"].is_set():
        raise Cancelled

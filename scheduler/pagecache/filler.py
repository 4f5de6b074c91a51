"""Reads files of likely models into the page cache: in order of chance, under a budget, at a bounded pace.

1. The list that came last counts; an old one is dropped.
2. In its order, each file that still fits into the budget is wanted; a file of two models once.
3. What is cached already is not read again. Where the kernel does not tell, a file is read once in a while.
4. It pauses while programs are short of memory, and begins anew with a new list.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scheduler.pagecache import pages
from scheduler.pagecache.store import Blob, ModelStore

log = logging.getLogger(__name__)

CHUNK = 4 * 2**20  # bytes read at once
ENOUGH = 0.98  # of a file; the rest comes with the load
FORGET_S = 300.0  # a list that nobody renewed
REST_S = 15.0  # between looks at a list that is read
AGAIN_S = 600.0  # a file of which the kernel tells nothing is read so often
SHORT = 0.10  # of memory left for programs, below which nothing is read
BREATHER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """For whoever asks the agent."""

    budget_bytes: int
    wanted_bytes: int  # of the files that the list wants, within the budget
    read_bytes: int  # since the start
    files: int
    doing: str  # reading, resting, short of memory


def planned(wanted: Iterable[Sequence[Blob]], budget_bytes: int) -> list[Blob]:
    """The files to have in memory, by model and in order of chance (2)."""
    chosen: dict[Path, Blob] = {}
    left = budget_bytes
    for blobs in wanted:
        fresh = {blob.path: blob for blob in blobs if blob.path not in chosen}
        size = sum(blob.bytes for blob in fresh.values())
        if size <= left:  # half of a model hides nothing
            chosen |= fresh
            left -= size
    return list(chosen.values())


class Filler:
    """A thread, from `start` to `stop`. `want` may be called from any other."""

    def __init__(
        self,
        store: ModelStore,
        *,
        budget_bytes: int,
        bytes_per_s: float,
        available: Callable[[], float] = pages.available_share,
        rest_s: float = REST_S,
        breather_s: float = BREATHER_S,
    ) -> None:
        self._store = store
        self._budget = budget_bytes
        self._pace = bytes_per_s
        self._available = available
        self._rest_s = rest_s
        self._breather_s = breather_s
        self._turn = threading.Condition()
        self._list: tuple[str, ...] = ()
        self._listed_at = float("-inf")
        self._edition = 0
        self._stopping = False
        self._read: dict[Path, float] = {}  # of files of which the kernel tells nothing: when
        self._state = State(budget_bytes=budget_bytes, wanted_bytes=0, read_bytes=0, files=0, doing="resting")
        self._thread: threading.Thread | None = None

    def want(self, models: Sequence[str]) -> State:
        """These models are likely, the most likely first (1)."""
        with self._turn:
            self._listed_at = time.monotonic()
            if tuple(models) != self._list:
                self._list, self._edition = tuple(models), self._edition + 1
                self._turn.notify_all()
        return self._state

    @property
    def state(self) -> State:
        return self._state

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="page-cache", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    # ---- in the thread

    def _run(self) -> None:
        while not self._stopping:
            edition = self._edition
            try:
                self._round(edition)
            except Exception:  # a disk that fails must not end the agent, which also reads the GPUs
                log.exception("Reading ahead failed; it is tried again later.")
            self._say(doing="resting")
            with self._turn:
                self._turn.wait_for(lambda: self._stopping or self._edition != edition, self._rest_s)  # noqa: B023  used at once

    def _round(self, edition: int) -> None:
        fresh = time.monotonic() - self._listed_at < FORGET_S
        wanted = planned((self._store.blobs(model) for model in self._list if fresh), self._budget)
        self._say(wanted_bytes=sum(blob.bytes for blob in wanted), files=len(wanted))
        for blob in wanted:
            if self._over(edition):
                return
            self._have(blob, edition)

    def _have(self, blob: Blob, edition: int) -> None:
        """Read what is not cached of a file (3)."""
        known = pages.cached_pages(blob.path)
        if known is not None and sum(known) >= ENOUGH * len(known):
            return
        if known is None and time.monotonic() - self._read.get(blob.path, float("-inf")) < AGAIN_S:
            return
        if known is None:
            self._read = {path: at for path, at in self._read.items() if path.exists()}
            self._read[blob.path] = time.monotonic()
        try:
            self._fill(blob, known, edition)
        except OSError as error:
            log.warning("%s cannot be read ahead: %s", blob.path, error)

    def _fill(self, blob: Blob, known: bytes | None, edition: int) -> None:
        buffer = memoryview(bytearray(CHUNK))
        with blob.path.open("rb", buffering=0) as file:
            # Else the kernel reads on by itself, past the chunk and past the pace.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for start in range(0, blob.bytes, CHUNK):
                if known is not None and all(known[start // pages.PAGE : (start + CHUNK) // pages.PAGE]):
                    continue
                if self._over(edition) or not self._has_room(edition):
                    return
                began = time.monotonic()
                count = os.preadv(file.fileno(), [buffer], start)
                self._say(doing="reading", read_bytes=self._state.read_bytes + count)
                self._pause(count / self._pace - (time.monotonic() - began))

    def _has_room(self, edition: int) -> bool:
        """Wait while programs are short of memory (4); False when there is something else to do by then."""
        while self._available() < SHORT:
            self._say(doing="short of memory")
            self._pause(self._breather_s)
            if self._over(edition):
                return False
        return True

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with self._turn:
                self._turn.wait_for(lambda: self._stopping, seconds)

    def _over(self, edition: int) -> bool:
        return self._stopping or self._edition != edition

    def _say(self, **changes: int | str) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # fields of State

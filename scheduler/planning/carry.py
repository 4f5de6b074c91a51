"""Carrying out the plans that were asked for in the admin: one at a time, apart from the web server."""

from __future__ import annotations

import gzip
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.utils import timezone

from scheduler.models import PlanRun
from scheduler.planning import picture
from scheduler.planning.pool import Cancelled, Failed
from scheduler.planning.question import Answer, BadQuestion, Question, answer
from scheduler.planning.search import Search
from scheduler.planning.shown import best_so_far
from scheduler.replay.trace import BadTrace, Trace, read

log = logging.getLogger(__name__)

BEAT_S = 1.0
LONGEST_S = 3600.0  # then a plan is given up
NICE = 10  # below the web server beside it
LARGEST_BYTES = 256 * 2**20  # of a trace, unpacked


class Orphaned(Exception):
    """The server that started this process is gone."""


def waiting(*, nice: int = NICE) -> int:
    """Carry out plans until none waits; how many. Returns at once where another process does so already."""
    os.nice(nice)
    count = 0
    PlanRun.objects.give_up_lost(timezone.now())
    while (run := PlanRun.objects.claim()) is not None:
        carry_out(run)
        count += 1
    return count


def carry_out(run: PlanRun) -> None:
    """Search, and write the answer into the row, or why there is none."""
    pulse = Pulse(run)
    try:
        found = _answer(run, pulse)
        _finish(run, found)
    except Cancelled:
        run.finish(PlanRun.State.CANCELLED)
    except Orphaned:
        run.put_back()
        raise
    except (BadTrace, BadQuestion, Failed) as error:
        run.finish(PlanRun.State.FAILED, said=str(error))
    except Exception as error:  # whatever it was, the row must not say for ever that it runs
        log.exception("plan %s failed", run.pk)
        run.finish(PlanRun.State.FAILED, said=f"It failed by an error of ours: {type(error).__name__}.")


def _answer(run: PlanRun, pulse: Pulse) -> Answer:
    question = Question.of_json(run.question)
    return answer(question, _trace(run), alive=pulse.beat, told=pulse.tell)


def _finish(run: PlanRun, found: Answer) -> None:
    search = found.search
    drawn = picture.svg(search, "Cost and waiting by fleet", styled=False)
    answered = search.as_json() | {"doubts": list(found.doubts)}
    said = best_so_far(search) if search.best else found.doubts[-1]
    run.finish(PlanRun.State.DONE, answer=answered, picture=drawn, done=len(search.found), said=said)


def _trace(run: PlanRun) -> Trace:
    """The row's trace, read from files as any other. Errors name the files as the operator knows them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        with path.open("wb") as file:
            file.writelines(_unpacked(bytes(run.trace)))
        path.with_name("trace.models.csv").write_text(run.sizes, encoding="utf-8")
        try:
            return read(path)
        except BadTrace as error:
            raise BadTrace(str(error).replace(f"{folder}/", "")) from None


def _unpacked(packed: bytes) -> Iterator[bytes]:
    """In parts. Raises BadTrace rather than fill the disk."""
    left = LARGEST_BYTES
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        while part := file.read(2**20):
            left -= len(part)
            if left < 0:
                raise BadTrace(f"The trace is larger than {LARGEST_BYTES // 2**20} MiB.")
            yield part


class Pulse:
    """Tells the row once a second that the plan runs, and ends it when nobody wants it any more."""

    def __init__(self, run: PlanRun, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._parent = os.getppid()
        self._begun = clock()
        self._latest = self._begun

    def beat(self) -> None:
        """Raises Cancelled, Orphaned, and Failed after LONGEST_S."""
        now = self._clock()
        if now - self._latest < BEAT_S:
            return
        self._latest = now
        if os.getppid() != self._parent:
            raise Orphaned
        if now - self._begun > LONGEST_S:
            raise Failed("It took more than an hour: compare fewer types, or plan on the command line.")
        if not self._run.beat():
            raise Cancelled

    def tell(self, search: Search) -> None:
        done = len(search.found)
        if not self._run.beat(done=done, expected=done + search.left(), said=best_so_far(search)):
            raise Cancelled

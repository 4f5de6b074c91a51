"""What a scheduler that begins to lead learns of the time before: requests, and how prefetches ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from django.utils import timezone

from scheduler.models import LedgerEntry
from scheduler.models.traffic import Records
from scheduler.policy.account import Ending, Kind
from scheduler.policy.hints import Workflow
from scheduler.policy.prediction import Arrival
from scheduler.policy.prediction import Predictor as Learner
from scheduler.policy.prefetch import Predictor
from scheduler.policy.warming import Read

MOST_REQUESTS = 100_000
OLDEST_S = 28 * 86_400.0  # four weeks: the hour of the week is learned from them
MOST_ENDINGS = 500
DAY = timedelta(days=1)
BATCH = 500  # requests between pauses in which others have the interpreter
PAUSE_S = 0.001
MOST_OPEN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A prefetch that was loaded and whose outcome nobody wrote down."""

    node: str
    model: str
    loaded_at: float  # Unix seconds
    load_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """`predictor` has seen every request on record."""

    predictor: Predictor
    requests: int = 0
    endings: tuple[Ending, ...] = ()  # oldest first
    unsettled: tuple[Unsettled, ...] = ()


def read(make: Callable[[], Predictor], workflows: Iterable[Workflow], records: Records | None) -> Past:
    """Everything, in a thread: seconds for as many requests as are read at most."""
    predictor = make()
    register(predictor, workflows)
    # Whether replays of the leader before helped, nobody will know: their residents are new to this one.
    LedgerEntry.objects.filter(kind=LedgerEntry.Kind.WARM, outcome="").update(outcome="unknown")
    arrivals = records.arrivals(time.time() - OLDEST_S, MOST_REQUESTS) if records is not None else ()
    return Past(
        predictor=predictor,
        requests=_feed(predictor, arrivals),
        endings=tuple(_endings()),
        unsettled=tuple(_unsettled()),
    )


def reads(records: Records | None, node: str, model: str, since: float, most: int) -> list[Read]:
    """What the first requests that a resident answered since then read of their prompts."""
    answered = records.answered(node, model, since, most) if records is not None else ()
    return [
        Read(prompt_tokens=a.prompt_tokens, cached_tokens=a.cached_tokens, seconds=a.prompt_eval_s)
        for a in answered
    ]


def register(predictor: Predictor, workflows: Iterable[Workflow]) -> None:
    """Workflows are for a predictor that knows hints; the original rule knows none."""
    if isinstance(predictor, Learner):
        predictor.register(workflows)


def _feed(predictor: Predictor, arrivals: Iterable[Arrival]) -> int:
    count = 0
    for count, each in enumerate(arrivals, start=1):
        predictor.observe(each.at, each.key, each.model, each.said, each.session)
        if not count % BATCH:
            time.sleep(PAUSE_S)
    return count


def _endings() -> Iterable[Ending]:
    """Live prefetches only: what was merely thought of earns and loses no trust after a restart."""
    ended = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.PREFETCH, outcome__in=get_args(Kind), saved_s__isnull=False
    )
    for row in reversed(ended.order_by("-at", "-id")[:MOST_ENDINGS]):
        yield Ending(
            node=row.node,
            model=row.model,
            kind=row.outcome,  # type: ignore[arg-type]  # one of Kind, by the filter
            at=row.at.timestamp(),
            seconds=row.saved_s or 0.0,
            shadow=False,
        )


def _unsettled() -> Iterable[Unsettled]:
    rows = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.PREFETCH, outcome="", at__gte=timezone.now() - DAY
    )
    for row in rows.order_by("at", "id")[:MOST_OPEN]:
        yield Unsettled(
            node=row.node, model=row.model, loaded_at=row.at.timestamp(), load_s=row.seconds or 0.0
        )

"""Usage records into sums by hour and by day: each record once, whenever it comes.

1. The mark says up to which id the records are in the sums; ids only grow. A late record (an outbox that was
   found after a crash) has a new id like any other, and is added to the hour in which its request came.
2. Sums, the hours whose costs have to be worked out anew, and the mark move in one transaction.
3. The database adds up: no record travels to this process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F
from django.utils import timezone

from bridge.accounting.locks import turn
from bridge.models import CostHour, Mark, RefusalRollup, UsageRecord, UsageRollup
from bridge.models.inserting import last_id
from bridge.models.rollups import DAY, HOUR

USAGE = "usage"
BATCH = 20_000  # ids in one transaction: SQLite's other writers wait so long, 0.1 s
BATCH_APART = 200_000  # where writers of other rows do not wait
AN_HOUR = timedelta(hours=1)

SUMMED = (
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "queue_ms",
    "total_ms",
    "prompt_eval_ms",
    "eval_ms",
)
SUMS = {"requests": "COUNT(*)"} | {name: f"SUM({name})" for name in SUMMED}
MOST = {"longest_ms": "MAX(total_ms)", "longest_tokens": "MAX(prompt_tokens + output_tokens)"}
BY = ("key", "team", "model", "node", "outcome", "load")
REFUSED_BY = ("key", "team", "reason", "status", "address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """One table of sums: what it groups by, adds up and takes the largest of."""

    table: type[models.Model]
    by: tuple[str, ...]
    sums: dict[str, str]
    most: dict[str, str]
    where: str = "TRUE"


USED = Rolled(table=UsageRollup, by=BY, sums=SUMS, most=MOST)
REFUSED = Rolled(
    table=RefusalRollup,
    by=REFUSED_BY,
    sums={"requests": "COUNT(*)"},
    most={"last_at": "MAX(at)"},
    where="outcome = 'refused'",
)


def roll(most: int = 50) -> int:
    """Add what is new, in at most so many batches; how many ids that were."""
    upper = last_id(UsageRecord._meta.db_table)  # in a transaction of its own: who inserts waits for it
    batch = BATCH if connection.vendor == "sqlite" else BATCH_APART
    added = 0
    for _ in range(most):
        with turn(USAGE) as mark:
            if mark is None or mark.position >= upper:
                break
            began, to = mark.position, min(mark.position + batch, upper)
            if not _batch(mark, to):
                break
            added += to - began
    return added


def _batch(mark: Mark, to: int) -> bool:
    """False when another process (a command beside a server on SQLite) was here meanwhile."""
    with transaction.atomic():
        if not Mark.objects.select_for_update().filter(pk=mark.pk, position=mark.position).exists():
            return False
        for rolled in (USED, REFUSED):
            for span in (HOUR, DAY):
                _add(rolled, span, mark.position, to)
        touch(_touched(mark.position, to))
        mark.position = to
        mark.save()
    return True


def _add(rolled: Rolled, span: int, after: int, to: int) -> None:
    quote = connection.ops.quote_name
    table = quote(rolled.table._meta.db_table)
    names = ["span", "start", *rolled.by, *rolled.sums, *rolled.most]
    values = [*(_column(name) for name in rolled.by), *rolled.sums.values(), *rolled.most.values()]
    groups = ", ".join(str(n) for n in range(1, len(rolled.by) + 3))
    key = ", ".join(quote(name) for name in ("span", "start", *rolled.by))
    added = [f"{quote(n)} = {table}.{quote(n)} + excluded.{quote(n)}" for n in rolled.sums]
    added += [
        f"{quote(n)} = CASE WHEN excluded.{quote(n)} > {table}.{quote(n)}"
        f" THEN excluded.{quote(n)} ELSE {table}.{quote(n)} END"
        for n in rolled.most
    ]
    sql = (
        f"INSERT INTO {table} ({', '.join(map(quote, names))}) "  # noqa: S608 -- names of our own columns
        f"SELECT {span}, {beginning(span)}, {', '.join(values)} FROM {quote(UsageRecord._meta.db_table)} "
        f"WHERE id > %s AND id <= %s AND {rolled.where} GROUP BY {groups} "
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(added)}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, to])


def _column(name: str) -> str:
    """A column of the record as the sums have it."""
    if name != "address":
        return connection.ops.quote_name(name)
    return "COALESCE(host(address), '')" if connection.vendor == "postgresql" else "COALESCE(address, '')"


def beginning(span: int) -> str:
    """SQL for the beginning of the hour or day (UTC) of `at`."""
    if connection.vendor == "postgresql":
        return f"date_trunc('{'hour' if span == HOUR else 'day'}', at, 'UTC')"
    return "substr(at, 1, 13) || ':00:00'" if span == HOUR else "substr(at, 1, 10) || ' 00:00:00'"


def _touched(after: int, to: int) -> set[datetime]:
    """Hours in which requests of these ids ran on a node; rather one too many than one too few."""
    table = connection.ops.quote_name(UsageRecord._meta.db_table)
    sql = (
        f"SELECT {beginning(HOUR)}, MAX(total_ms) FROM {table} "  # noqa: S608
        "WHERE id > %s AND id <= %s AND node <> '' GROUP BY 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, to])
        found = [(moment(start), timedelta(milliseconds=longest)) for start, longest in cursor.fetchall()]
    now, hours = timezone.now(), set[datetime]()
    for start, longest in found:
        hour, last = start, start + AN_HOUR + longest
        while hour <= min(last, now):
            hours.add(hour)
            hour += AN_HOUR
    return hours


def touch(hours: Iterable[datetime]) -> None:
    """The costs of these hours have to be worked out anew."""
    wanted = set(hours)
    CostHour.objects.bulk_create([CostHour(start=hour, changes=0) for hour in wanted], ignore_conflicts=True)
    CostHour.objects.filter(start__in=wanted).update(changes=F("changes") + 1)


def moment(value: Any) -> datetime:
    """SQLite gives what SQL made of a time as text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    found: datetime = value if value.tzinfo else value.replace(tzinfo=UTC)
    return found

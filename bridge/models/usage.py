from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models, transaction

from bridge.models.audit import address_or_none
from bridge.models.inserting import inserting

MOST_INT = 2**31 - 1


class Outcome(models.TextChoices):
    ANSWERED = "answered", "answered"
    REFUSED = "refused", "refused"
    CANCELLED = "cancelled", "cancelled"
    FAILED = "failed", "failed"


class BadLine(ValueError):
    """A line of the outbox without what a usage record cannot be without."""


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def insert_new(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of `columns_of`; a request id that is there already is left as it is.

        Plain SQL: bulk_create spends ten times as long on its compiler, in the process that also relays."""
        if not rows:
            return
        names = [field.name for field in self.model._meta.concrete_fields if field.name in rows[0]]
        quoted = ", ".join(connection.ops.quote_name(name) for name in names)
        marks = ", ".join(["%s"] * len(names))
        table = connection.ops.quote_name(self.model._meta.db_table)
        adapt = connection.ops.adapt_datetimefield_value
        values = [[adapt(row[n]) if n == "at" else row[n] for n in names] for row in rows]
        with transaction.atomic(), connection.cursor() as cursor:
            inserting()
            cursor.executemany(
                f"INSERT INTO {table} ({quoted}) VALUES ({marks}) ON CONFLICT (request_id) DO NOTHING",  # noqa: S608
                values,
            )


class UsageRecord(models.Model):
    """One request, however it ended. Written in bulk from the outbox; never changed."""

    request_id = models.CharField(max_length=36, unique=True)
    at = models.DateTimeField(help_text="When it came.")
    key = models.CharField(max_length=8, blank=True, help_text="Public id; empty for an unknown key.")
    key_name = models.CharField(max_length=100, blank=True)
    team = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    node = models.CharField(max_length=100, blank=True)
    dialect = models.CharField(max_length=16, blank=True)
    route = models.CharField(max_length=64, blank=True)
    client = models.CharField(max_length=40, blank=True, help_text="First word of the User-Agent.")
    address = models.GenericIPAddressField(null=True, blank=True)
    stream = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    queue_ms = models.PositiveIntegerField(default=0)
    load_ms = models.PositiveIntegerField(default=0)
    ttft_ms = models.PositiveIntegerField(
        "TTFT ms", null=True, blank=True, help_text="Empty: no token was sent."
    )
    total_ms = models.PositiveIntegerField(default=0)
    prompt_eval_ms = models.PositiveIntegerField(default=0)
    eval_ms = models.PositiveIntegerField(default=0)
    load = models.CharField(max_length=10, blank=True, help_text="warm, cold or prefetched.")
    outcome = models.CharField(max_length=9, choices=Outcome)
    reason = models.CharField(max_length=24, blank=True, help_text="Why it was not answered.")
    status = models.PositiveSmallIntegerField(default=0)

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        # Four ways in: when, who, what, how it ended. Each lists the newest first within its column.
        indexes = [
            models.Index(fields=["at"], name="usage_at"),
            models.Index(fields=["key", "at"], name="usage_key"),
            models.Index(fields=["model", "at"], name="usage_model"),
            models.Index(fields=["outcome", "at"], name="usage_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.outcome}"

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> UsageRecord:
        """See columns_of."""
        return cls(**cls.columns_of(line))

    @staticmethod
    def columns_of(line: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of an outbox line, whose names are theirs and whose `at` is in Unix seconds.

        Unknown names are left out, and every value is fitted to its column (cut, clamped, emptied), so that
        one odd line never keeps a whole batch from the table. Raises BadLine without a request id or time."""
        request_id, outcome = line.get("request_id"), line.get("outcome")
        if not isinstance(request_id, str) or not _text(request_id, 36):
            raise BadLine(f"A usage record needs a request_id, and this line has {request_id!r}.")
        if outcome not in OUTCOMES:
            raise BadLine(f"Request {request_id} has the outcome {outcome!r}: not one of {sorted(OUTCOMES)}.")
        columns = {name: read(line.get(name)) for name, read in READERS.items()}
        columns |= {"request_id": _text(request_id, 36), "at": _time(line.get("at")), "outcome": outcome}
        return columns


OUTCOMES = frozenset(Outcome.values)


def _time(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLine(f"A usage record needs its time in Unix seconds, and this line has {value!r}.")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadLine(f"{value!r} is no time in Unix seconds.") from None


def _text(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else ""
    if text.isascii() and "\0" not in text:
        return text[:most]
    # PostgreSQL refuses NUL, and lone surrogates cannot be encoded.
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:most]


def _count(value: Any, most: int = MOST_INT) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return 0
    return int(max(0, min(value, most)))


def _maybe_count(value: Any) -> int | None:
    return None if value is None else _count(value)


def _cut(most: int) -> Any:
    return lambda value: _text(value, most)


READERS: dict[str, Any] = {
    "key": _cut(8),
    "key_name": _cut(100),
    "team": _cut(100),
    "model": _cut(255),
    "node": _cut(100),
    "dialect": _cut(16),
    "route": _cut(64),
    "client": _cut(40),
    "address": address_or_none,
    "stream": bool,
    "prompt_tokens": _count,
    "cached_tokens": _count,
    "output_tokens": _count,
    "queue_ms": _count,
    "load_ms": _count,
    "ttft_ms": _maybe_count,
    "total_ms": _count,
    "prompt_eval_ms": _count,
    "eval_ms": _count,
    "load": _cut(10),
    "reason": _cut(24),
    "status": lambda value: _count(value, 999),
}

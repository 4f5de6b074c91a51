"""The trace of a period: who asked for which model when, with how many tokens, how it ended; no content.

Columns and the list of models beside it are those that `manage.py replay` reads,
with the outcome as one more. Seconds count from the start of the period. Keys are hashed with the
installation's secret: one key is one name in all its traces, and nobody else can tell which.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from django.conf import settings
from django.db.models import Q, QuerySet

from bridge.models import Outcome, UsageRecord
from dashboard.reports.report import Asked, Column, Report, Row, Table, Value, text
from dashboard.reports.sizes import sizes_gb

COLUMNS = (
    Column(name="timestamp_s"),
    text("app_or_session"),
    text("model"),
    Column(name="prompt_tokens"),
    Column(name="output_tokens"),
    text("outcome"),
)
MODEL_COLUMNS = (text("model"), Column(name="size_gb"))
FIELDS = ("at", "key", "model", "prompt_tokens", "output_tokens", "outcome")
CHUNK = 5000  # rows read from the database at once
# A refusal for want of room is demand that a larger fleet would have served; others no fleet would serve.
DEMAND = ~Q(outcome=Outcome.REFUSED) | Q(status=503)


@dataclass(slots=True)
class Export:
    """One reading of the period. What it counts is complete after the last row."""

    start: datetime
    sizes: Mapping[str, float]  # GB by model
    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    asked_for: set[str] = field(default_factory=set)  # models
    left_out: int = 0  # requests whose model has no size
    sizeless: set[str] = field(default_factory=set)  # their models

    def rows(self, records: QuerySet[UsageRecord]) -> Iterator[Row]:
        found = records.order_by("at", "id").values_list(*FIELDS)
        for at, key, model, prompt, output, outcome in found.iterator(chunk_size=CHUNK):
            if model not in self.sizes:
                self.left_out += 1
                self.sizeless.add(model)
                continue
            self.requests += 1
            self.prompt_tokens += prompt
            self.output_tokens += output
            self.asked_for.add(model)
            seconds = round((at - self.start).total_seconds(), 3)
            yield seconds, hashed(key), model, prompt, output, outcome

    def totals(self) -> Mapping[str, Value]:
        counted = {"prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        return {"requests": self.requests, **counted, "left_out": self.left_out}

    def models(self) -> Iterator[Row]:
        """Those that the rows name, so it must be read after them."""
        return ((name, self.sizes[name]) for name in sorted(self.asked_for))

    def notes(self) -> Iterable[str]:
        if self.left_out:
            models = ", ".join(sorted(self.sizeless)[:5])
            yield (
                f"{self.left_out} requests are left out: the catalogue has no size of {models}. "
                "`manage.py synccatalog` reads what the nodes hold."
            )


def build(asked: Asked) -> Report:
    export = Export(asked.start, sizes_gb())
    records = asked.records().filter(DEMAND).exclude(model="")
    return Report(
        title="Trace",
        tables=(
            Table(name="requests", columns=COLUMNS, rows=export.rows(records), totals=export.totals),
            Table(name="models", columns=MODEL_COLUMNS, rows=_later(export)),
        ),
        notes=export.notes,
    )


def _later(export: Export) -> Iterator[Row]:
    yield from export.models()


@lru_cache(maxsize=10_000)
def hashed(key: str) -> str:
    """A name for a key that says nothing of it."""
    digest = hmac.digest(settings.SECRET_KEY.encode(), b"trace\0" + key.encode(), "sha256")
    return f"k{digest.hex()[:12]}"

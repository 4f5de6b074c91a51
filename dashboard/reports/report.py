"""What a report is: filters in, tables of rows out. Who makes one knows nothing of CSV, JSON or terminals.

A report is a module with `build(asked: Asked) -> Report`, entered in `dashboard.reports.register`. Its tables
give rows as tuples in the order of their columns; rows may be a generator, which is read once and never held
whole. Totals are asked for after the last row, so that a generator may add them up on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from bridge.models import UsageRecord
from dashboard.reports.chart import Chart

Value = str | int | float | bool | Decimal | datetime | None
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is asked about. Empty texts do not narrow."""

    start: datetime  # aware
    end: datetime  # aware, outside
    node: str = ""
    model: str = ""
    key: str = ""  # public id
    team: str = ""

    def narrowed(self) -> dict[str, str]:
        """The filters that are set, under the names of the columns of a usage record."""
        named = {"node": self.node, "model": self.model, "key": self.key, "team": self.team}
        return {name: value for name, value in named.items() if value}

    def records(self) -> QuerySet[UsageRecord]:
        """The usage records that it is about, in no order."""
        return UsageRecord.objects.filter(at__gte=self.start, at__lt=self.end, **self.narrowed())


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. The name is the CSV's and the JSON's, with its unit in it (`wait_s`)."""

    name: str
    title: str = ""  # for people; empty: the name
    number: bool = True  # aligned to the right


def text(name: str, title: str = "") -> Column:
    return Column(name=name, title=title, number=False)


def no_totals() -> Mapping[str, Value]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns."""

    name: str  # in JSON, and in the name of the file that lies beside the first one's
    title: str = ""  # for people; empty: the name
    about: str = ""  # a sentence under the title, on a page
    columns: tuple[Column, ...]
    rows: Iterable[Row]
    totals: Callable[[], Mapping[str, Value]] = no_totals  # by column, or by a name of their own

    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure that a page shows before everything else."""

    label: str
    value: str
    attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One or more tables; the first is what `--csv` writes, the others go beside it."""

    title: str
    tables: tuple[Table, ...]
    headline: tuple[Figure, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: Callable[[], Iterable[str]] = field(default=tuple)  # sentences for people, after the last row


Build = Callable[[Asked], Report]


def as_json(value: Value) -> Any:
    """A value as JSON has it; money stays exact as text."""
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return value

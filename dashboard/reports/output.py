"""A report as CSV, as JSON, and for people. Rows are written as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from io import StringIO
from itertools import islice
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table as Drawn

from dashboard.reports.report import Asked, Column, Report, Table, Value, as_json

MOST_DRAWN = 100  # rows of a table on a terminal


class Output(Protocol):
    def write(self, text: str, /) -> object: ...


def write_csv(table: Table, out: Output) -> None:
    writer = csv.writer(_Lines(out), lineterminator="\n")
    writer.writerow(table.names())
    writer.writerows(tuple(as_json(value) for value in row) for row in table.rows)


class _Lines:
    """csv.writer wants to be told how much was written."""

    def __init__(self, out: Output) -> None:
        self.out = out

    def write(self, text: str) -> int:
        self.out.write(text)
        return len(text)


def write_json(name: str, asked: Asked, report: Report, out: Output) -> None:
    """One object: report, from, to, filters, and by name each table's rows (as objects) and totals."""
    head = {"report": name, "from": asked.start.isoformat(), "to": asked.end.isoformat()}
    out.write(_text(head | {"filters": asked.narrowed()})[:-1] + ', "tables": {')
    for number, table in enumerate(report.tables):
        out.write((", " if number else "") + _text(table.name) + ': {"rows": [')
        for count, row in enumerate(table.rows):
            out.write(("," if count else "") + "\n" + _text(dict(zip(table.names(), row, strict=True))))
        out.write(f'\n], "totals": {_text(table.totals())}}}')
    out.write("}}\n")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=as_json)


def drawn(report: Report, width: int | None = None) -> Iterator[str]:
    """Each table for a terminal; of a long one the beginning, and how many rows are left."""
    for table in report.tables:
        rows = iter(table.rows)
        first = list(islice(rows, MOST_DRAWN))
        left = sum(1 for _ in rows)
        yield _drawn(report.title, table, first, width)
        if left:
            yield f"… and {left:,} rows more; --csv and --json write all of them.\n"


def _drawn(title: str, table: Table, rows: list[tuple[Value, ...]], width: int | None) -> str:
    view = Drawn(box=None, pad_edge=False, header_style="bold", title=f"{title}: {table.name}")
    view.title_justify, view.show_footer = "left", bool(totals := table.totals())
    for column in table.columns:
        view.add_column(
            column.title or column.name,
            footer=shown(totals.get(column.name)),
            justify="right" if column.number else "left",
            overflow="fold",
        )
    for row in rows:
        view.add_row(*map(shown, row))
    text = StringIO()
    Console(file=text, force_terminal=True, markup=False, highlight=False, width=width).print(view)
    return text.getvalue() + _beside(totals, table.columns)


def _beside(totals: Mapping[str, Value], columns: tuple[Column, ...]) -> str:
    """Totals that belong under no column."""
    names = {column.name for column in columns}
    told = [f"{name} {shown(value)}" for name, value in totals.items() if name not in names]
    return ", ".join(told) + "\n" if told else ""


def shown(value: Value) -> str:
    """A value for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case _:
            return str(as_json(value))

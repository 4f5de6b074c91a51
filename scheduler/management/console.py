"""What the commands have in common: --json, tables, exit codes."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Sequence
from io import StringIO
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, ProgrammingError
from rich.console import Console
from rich.table import Table

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class Output(Protocol):
    def write(self, text: str, /) -> object: ...
    def isatty(self) -> bool: ...


class ConsoleCommand(BaseCommand):
    """Writes JSON on --json; exit code 2 for bad input, 1 where a node or the database does not answer."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Write JSON.")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database cannot be used: {str(error).strip()}. If it is new, run `manage.py migrate`;"
                " otherwise check DATABASE_URL or BRIDGE_DATA_DIR."
            ) from error

    def write_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))


def show(output: Output, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A rich table on a terminal; in a pipe, tabs between values and nothing cut."""
    if not output.isatty():
        output.write("\n".join("\t".join(row) for row in (columns, *rows)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    drawn = StringIO()
    Console(file=drawn, force_terminal=True, markup=False, highlight=False).print(table)
    output.write(drawn.getvalue())


def gib(size: int | None) -> str:
    """Bytes in GiB, for people."""
    return "?" if size is None else f"{size / 2**30:.1f} GiB"


def size(text: str) -> int:
    """'24GiB' or bytes."""
    number, factor = (text[:-3], UNITS[text[-3:]]) if text[-3:] in UNITS else (text, 1)
    try:
        value = int(float(number) * factor)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise ArgumentTypeError(f"{text!r} is no size; give 24GiB, 512MiB or bytes")
    return value

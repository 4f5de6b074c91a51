"""Rows for a terminal (a rich table) or for a pipe (tab-separated, nothing cut)."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Protocol

from rich.console import Console
from rich.table import Table


class Output(Protocol):
    def write(self, text: str, /) -> object: ...
    def isatty(self) -> bool: ...


def show(output: Output, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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

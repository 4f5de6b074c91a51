"""The progress of a plan on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scheduler.planning.search import Search, Told


@contextmanager
def progress(*, shown: bool) -> Iterator[Told]:
    """A bar on a terminal's standard error, and nothing in a pipe."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not (shown and sys.stderr.isatty()),
    )
    with bar:
        task = bar.add_task("replaying fleets", total=None)

        def told(search: Search) -> None:
            done = len(search.found)
            bar.update(task, completed=done, total=done + search.left(), description=best_so_far(search))

        yield told


def best_so_far(search: Search) -> str:
    if search.best is None:
        return "no fleet so far"
    return f"so far {search.best.candidate.fleet}, ${search.best.usd_per_month:,.0f}"

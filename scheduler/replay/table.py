"""The comparison of policies on a terminal, and the progress of a replay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from scheduler.replay.outcome import Outcome

YARDSTICKS = ("ollama", "oracle")
STEP = 1024  # requests between two calls of Setting.progress


def show(outcomes: list[Outcome], title: str) -> None:
    """Print the figures side by side, and cold starts and waits as ratios to the yardsticks that were run."""
    table = Table(title=title)
    table.add_column("policy")
    for name in (
        "cold",
        "mean s",
        "p50",
        "p95",
        "p99",
        "max",
        "loads",
        "load s waited",
        "prefetch",
        "wasted",
        "Jain",
    ):
        table.add_column(name, justify="right")
    known = {o.policy: o for o in outcomes}
    against = [known[name] for name in YARDSTICKS if name in known and len(outcomes) > 1]
    for yardstick in against:
        table.add_column(f"cold, mean, p99 ÷ {yardstick.policy}", justify="right")
    for o in outcomes:
        table.add_row(*cells(o), *(ratios(o, yardstick) for yardstick in against))
    width = None if sys.stdout.isatty() else 200
    Console(width=width).print(table)


def cells(o: Outcome) -> list[str]:
    waits = (o.wait_mean_s, o.wait_p50_s, o.wait_p95_s, o.wait_p99_s, o.wait_max_s)
    counts = (f"{o.loads}", f"{o.load_path_s:.0f}", f"{o.prefetches}", f"{o.wasted}", f"{o.jain:.3f}")
    return [o.policy, f"{o.cold_share:.1%}", *(f"{w:.2f}" for w in waits), *counts]


def ratios(o: Outcome, to: Outcome) -> str:
    pairs = ((o.cold_share, to.cold_share), (o.wait_mean_s, to.wait_mean_s), (o.wait_p99_s, to.wait_p99_s))
    return "  ".join(ratio(a, b) for a, b in pairs)


def ratio(a: float, b: float) -> str:
    """a / b in two digits; a dash where there is nothing to compare with."""
    return f"{a / b:.2f}" if b > 0 else "-"


@contextmanager
def progress(runs: int, requests: int, *, shown: bool) -> Iterator[Callable[[str], Callable[[], None]]]:
    """A bar on a terminal's standard error, and nothing in a pipe. The yielded function begins a run, and
    gives what is to be called every STEP requests of it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not (shown and sys.stderr.isatty()),
    )
    steps = -(-requests // STEP)
    begun = 0
    with bar:
        task = bar.add_task("replaying", total=runs * steps)

        def begin(name: str) -> Callable[[], None]:
            nonlocal begun
            bar.update(task, completed=begun * steps, description=name)
            begun += 1
            return lambda: bar.advance(task)

        yield begin

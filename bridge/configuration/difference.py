"""What an import changes, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from bridge.configuration.importing import Change, Outcome
from bridge.configuration.values import plain


def as_json(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    changes = [
        {"action": c.action, "kind": c.kind, "name": c.name, "before": c.before, "after": c.after}
        for c in outcome.changes
    ]
    return {"dry_run": dry_run, "changes": changes, "not_importable": outcome.not_importable}


def drawn(outcome: Outcome, *, colour: bool) -> str:
    """A block for each row; empty where nothing changes."""
    if not outcome.changes:
        return ""
    file = StringIO()
    console = Console(file=file, force_terminal=colour, highlight=False, markup=False)
    for change in outcome.changes:
        for line in _lines(change):
            console.print(line, soft_wrap=True)
    return file.getvalue().rstrip("\n")


def _lines(change: Change) -> Iterator[Text]:
    if not change.before:
        yield Text(f"+ {change.kind} {change.name}", style="bold green")
    else:
        yield Text(f"~ {change.kind} {change.name}", style="bold")
    for name, value in change.after.items():
        if change.before:
            yield Text(f"  - {name}: {_shown(change.before[name])}", style="red")
        yield Text(f"  + {name}: {_shown(value)}", style="green")


def _shown(value: Any) -> str:
    return "(empty)" if value in (None, "", []) else str(plain(value))

"""The reports there are, by name."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.reports import trace
from dashboard.reports.report import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A report and what `--help` says of it."""

    build: Build
    help: str


REPORTS: dict[str, Entry] = {
    "trace": Entry(build=trace.build, help="requests without content, for `manage.py replay` and `plan`"),
}

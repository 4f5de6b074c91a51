"""The reports there are, by name."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.reports import auth, cost, trace, vram
from dashboard.reports.report import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A report and what `--help` says of it."""

    build: Build
    help: str


REPORTS: dict[str, Entry] = {
    "auth": Entry(build=auth.build, help="keys by use, refusals, what wants attention, sign-ins"),
    "vram": Entry(build=vram.build, help="use, fragmentation, cold starts, reloads, advice"),
    "cost": Entry(build=cost.build, help="whose GPU-seconds at what price, and what it would cost elsewhere"),
    "trace": Entry(build=trace.build, help="requests without content, for `manage.py replay` and `plan`"),
}

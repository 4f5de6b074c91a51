"""`manage.py report NAME`: the figures of a period as a table, as CSV or as JSON.

A report is a module of `dashboard/reports` with `build(asked)`, entered in `dashboard/reports/register.py`;
what it returns, and what a page shows too, is described in `dashboard/reports/report.py`.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from dashboard.reports import output, period
from dashboard.reports.register import REPORTS
from dashboard.reports.report import Asked, Report
from dashboard.reports.whole import whole

NARROWING = ("node", "model", "key", "team")


class Command(BaseCommand):
    help = "Report on a period: " + "; ".join(f"{name}: {entry.help}" for name, entry in REPORTS.items())

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=REPORTS, help="which report")
        parser.add_argument("--from", dest="start", default="yesterday", help=f"yesterday; {period.FORMS}")
        parser.add_argument("--to", dest="end", help="a day counts to its end; by default as --from, or now")
        for name in NARROWING:
            parser.add_argument(f"--{name}", default="", help=f"only this {name}")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one JSON object")
        form.add_argument("--csv", action="store_true", help="the first table as CSV; others go beside FILE")
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write here, whole or not at all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asked = _asked(options)
        with _database_told():
            report = REPORTS[options["name"]].build(asked)
            self._write(report, asked, options)
        for note in report.notes():
            self.stderr.write(note)

    def _write(self, report: Report, asked: Asked, options: dict[str, Any]) -> None:
        path: Path | None = options["output"]
        if path is not None:
            try:
                self._write_files(
                    report, asked, path, as_json=_wants_json(options, path), name=options["name"]
                )
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}.", returncode=2) from None
        elif options["json"]:
            output.write_json(options["name"], asked, report, _Stdout(self.stdout))
        elif options["csv"] or not self.stdout.isatty():
            output.write_csv(report.tables[0], _Stdout(self.stdout))
        else:
            for text in output.drawn(report):
                self.stdout.write(text, ending="")

    def _write_files(self, report: Report, asked: Asked, path: Path, *, as_json: bool, name: str) -> None:
        if as_json:
            with whole(path) as (file,):
                output.write_json(name, asked, report, file)
            return
        stem = path.name.removesuffix(".csv")
        beside = [path.with_name(f"{stem}.{table.name}.csv") for table in report.tables[1:]]
        with whole(path, *beside) as files:
            for table, file in zip(report.tables, files, strict=True):
                output.write_csv(table, file)


class _Stdout:
    """Django's own ends each write with a newline."""

    def __init__(self, stdout: Any) -> None:
        self.stdout = stdout

    def write(self, text: str) -> None:
        self.stdout.write(text, ending="")


def _wants_json(options: dict[str, Any], path: Path) -> bool:
    return bool(options["json"] or (path.suffix == ".json" and not options["csv"]))


def _asked(options: dict[str, Any]) -> Asked:
    now = timezone.now()
    try:
        start = period.start(options["start"], now)
        end = period.end(options["end"] or _end_of(options["start"]), now)
    except ArgumentTypeError as error:
        raise CommandError(str(error), returncode=2) from None
    if end <= start:
        raise CommandError(
            f"The period ends ({end:%Y-%m-%d %H:%M}) before it begins ({start:%Y-%m-%d %H:%M}).", returncode=2
        )
    return Asked(start=start, end=end, **{name: options[name] for name in NARROWING})


def _end_of(start: str) -> str:
    """Without --to, a day is taken whole, and everything else up to now."""
    return start if start in ("yesterday", "today") or len(start) == len("2027-01-31") else "now"


@contextmanager
def _database_told() -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(
            f"The database cannot be used: {str(error).strip()}. If it is new, run `manage.py migrate`; "
            "otherwise check DATABASE_URL or BRIDGE_DATA_DIR."
        ) from error

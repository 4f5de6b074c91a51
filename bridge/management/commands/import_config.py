"""`manage.py import_config FILE`: what a file of `export_config` says, into this bridge's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from bridge.configuration import difference, importing, reading
from bridge.models import Actor
from scheduler.management.console import ConsoleCommand


class Command(ConsoleCommand):
    help = "Take over a file of export_config: all of it or, if anything in it is wrong, nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="Show what would change, and change nothing."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        outcome = _imported(path, dry_run=options["dry_run"])
        if options["json"]:
            self.write_json(difference.as_json(outcome, dry_run=options["dry_run"]))
            return
        colour = self.stdout.isatty() and not options["no_color"]
        if shown := difference.drawn(outcome, colour=colour):
            self.stdout.write(shown)
        count = len(outcome.changes)
        self.stdout.write(f"{count} rows would change." if options["dry_run"] else f"{count} rows changed.")
        for key in outcome.not_importable:
            self.stderr.write(
                f"Key {key} is not here and cannot be imported: no file has a key's hash. Use createkey."
            )


def _imported(path: Path, *, dry_run: bool) -> importing.Outcome:
    try:
        entries = reading.entries_of(path.read_bytes())
        return importing.apply(entries, Actor.at_shell(), note=f"import_config {path.name}", dry_run=dry_run)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.", returncode=2) from None
    except reading.BadConfig as error:
        raise CommandError(f"{path}, line {error.line}: {error} Nothing was changed.", returncode=2) from None

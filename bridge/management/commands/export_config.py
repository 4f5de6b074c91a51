"""`manage.py export_config [FILE]`: what operators decided, as YAML and without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from bridge.configuration import export
from bridge.wholefile import whole
from scheduler.management.console import ConsoleCommand


class Command(ConsoleCommand):
    help = "Write nodes, catalogue policy, aliases, pins, workflows, teams, prices and key limits as YAML."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="where to; without it, standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        text = export.text()
        if path is None:
            self.stdout.write(text, ending="")
        else:
            try:
                with whole(path) as fresh:
                    fresh.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}.", returncode=2) from None
        for sentence in export.left_out():
            self.stderr.write(sentence)

"""`manage.py backup FILE`: the whole database, whole or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from bridge.backups import backup
from bridge.backups.postgresql import ToolFailed
from bridge.models import Actor
from scheduler.management.console import ConsoleCommand


class Command(ConsoleCommand):
    help = "Write the database to a file, while the bridge runs. The secrets are not in it: keep them apart."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="replaced only once the new one is whole")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            about = backup.make(path, Actor.at_shell())
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.", returncode=2) from None
        except (ToolFailed, sqlite3.Error) as error:
            raise CommandError(f"There is no backup: {error}") from None
        size = path.stat().st_size
        if options["json"]:
            self.write_json(
                {"file": str(path), "bytes": size, "engine": about.engine, "made_at": about.made_at}
            )
            return
        self.stdout.write(f"{path}: {size:,} bytes, the {about.engine} database at {about.made_at}.")
        self.stderr.write(
            "Pepper, node secret and secret key are not in it: without the pepper no key can be verified."
        )

"""`manage.py restore FILE --yes`: a backup in the place of the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from bridge.backups import container, restore
from bridge.backups.container import About, BadBackup
from bridge.backups.postgresql import ToolFailed
from bridge.models import Actor
from scheduler.management.console import ConsoleCommand


class Command(ConsoleCommand):
    help = "Put a backup in the place of the database. Stop the bridge first."
    # A database that is empty, or older than the code, is what this command is for.
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--yes", action="store_true", help="Do it: what the database holds now is lost.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            about = self._looked_at(path)
            if not options["yes"]:
                raise CommandError(
                    f"{path} is from {about.made_at}. Nothing was changed: add --yes to restore it."
                )
            restore.replace(path, Actor.at_shell())
        except OSError as error:
            raise CommandError(f"{path} cannot be restored: {error.strerror}.", returncode=2) from None
        except BadBackup as error:
            raise CommandError(f"{path}: {error} Nothing was changed.", returncode=2) from None
        except (restore.InTheWay, ToolFailed) as error:
            raise CommandError(f"{error} Nothing was changed.") from None
        self._tell(path, about, as_json=options["json"])

    def _looked_at(self, path: Path) -> About:
        about = container.about(path)
        restore.fits(about)
        for sentence in restore.unlike(about):
            self.stderr.write(sentence)
        return about

    def _tell(self, path: Path, about: About, *, as_json: bool) -> None:
        warnings = restore.unreadable()
        if as_json:
            self.write_json({"file": str(path), "made_at": about.made_at, "warnings": warnings})
            return
        self.stdout.write(f"The database is the one of {about.made_at}, brought up to this version.")
        for sentence in warnings:
            self.stderr.write(sentence)

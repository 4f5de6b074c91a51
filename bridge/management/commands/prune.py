"""`manage.py prune`: delete what is older than the settings keep it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from bridge.accounting import pruning, sums
from bridge.tables import show


class Command(BaseCommand):
    help = "Delete usage records, hourly sums, VRAM samples and ledger entries that are too old."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would go")
        parser.add_argument("--json", action="store_true", help="one JSON object: rows by table")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            while not options["dry_run"] and sums.roll():
                pass  # what is in the sums may go
            done = pruning.prune(dry_run=options["dry_run"])
        except DatabaseError as error:
            raise CommandError(f"The database does not answer: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(done))
            return
        days = {rule.name: rule.days for rule in pruning.rules()}
        went = "would go" if options["dry_run"] else "deleted"
        rows = [(name, str(days[name]), f"{count:,}") for name, count in done.items()]
        show(self.stdout, ("table", "days kept", went), rows)

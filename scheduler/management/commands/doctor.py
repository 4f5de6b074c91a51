from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from scheduler.management import doctor, node_checks
from scheduler.management.console import ConsoleCommand, show
from scheduler.management.doctor import Finding

COLUMNS = ("", "CHECK", "FOUND", "DO")
MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL"}


class Command(ConsoleCommand):
    help = (
        "Check everything the bridge stands on, each with its cause and its cure. Exit code 1 when one fails."
    )
    requires_system_checks: list[str] = []  # it reports them itself

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(doctor.findings(node_checks.look))
        if options["json"]:
            self.write_json([asdict(each) for each in found])
        else:
            show(self.stdout, COLUMNS, [row(each) for each in found])
        if failed := sum(each.level == "fail" for each in found):
            raise CommandError(f"{failed} of {len(found)} checks failed.")


def row(found: Finding) -> tuple[str, ...]:
    return (MARKS[found.level], found.check, found.said, found.cure)

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import CommandError

from scheduler.catalogue import NodeSync, SyncReport, sync
from scheduler.management.console import ConsoleCommand


class Command(ConsoleCommand):
    help = "Read the nodes and make the catalogue equal to what they hold. Exit code 1 when one failed."

    def handle(self, *args: Any, **options: Any) -> None:
        tell = None if options["json"] else self._tell
        report = asyncio.run(sync(on_node=tell))
        if options["json"]:
            self.write_json(report.as_json())
        else:
            self._sum_up(report)
        if report.failed:
            raise CommandError(f"Not read: {', '.join(report.failed)}. Their models stay as they were.")

    def _tell(self, node: NodeSync) -> None:
        if node.error:
            self.stdout.write(f"{node.node}: {node.error}")
            return
        changes = [
            f"{sign}{name}"
            for sign, names in (("+", node.added), ("~", node.changed), ("-", node.removed))
            for name in names
        ]
        self.stdout.write(f"{node.node}: {' '.join(changes) or 'no change'}")
        for problem in node.problems:
            self.stderr.write(f"{node.node} could not show {problem}")

    def _sum_up(self, report: SyncReport) -> None:
        if not report.nodes:
            self.stdout.write("There is no node. Add one: manage.py nodes add http://host:11434")
        for model, digests in report.drift.items():
            held = ", ".join(f"{digest[:12]} on {node}" for node, digest in sorted(digests.items()))
            self.stdout.write(f"{model} differs between nodes: {held}. Pull it where it is old.")
        for alias in report.shadowed:
            self.stdout.write(f"The alias {alias} is out of force: a node holds a model of this name.")
        if report.forgotten:
            self.stdout.write(f"Forgotten, no node holds them: {', '.join(report.forgotten)}")

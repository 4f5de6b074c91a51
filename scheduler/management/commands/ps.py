from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from scheduler.management import health
from scheduler.management.console import ConsoleCommand, gib, show
from scheduler.models import Node
from scheduler.nodes import RunningModel

COLUMNS = ("NODE", "MODEL", "VRAM", "IN HOST MEMORY", "CONTEXT", "DIGEST", "UNTIL", "CAME FOR")
FOREVER_YEAR = 2200  # Ollama writes "for ever" as a moment some 300 years away


class Command(ConsoleCommand):
    help = "Show what is loaded on each node now, by /api/ps. Exit code 1 when a node did not answer."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("node", nargs="*", help="Only these nodes.")

    def handle(self, *args: Any, **options: Any) -> None:
        nodes = chosen(options["node"])
        found = list(zip(nodes, health.look(nodes), strict=True))
        if options["json"]:
            self.write_json([as_json(node, running) for node, seen in found for running in seen.running])
        else:
            rows = [row(node, running) for node, seen in found for running in seen.running]
            show(self.stdout, COLUMNS, rows)
        if silent := [f"{node.name} ({seen.error})" for node, seen in found if seen.error]:
            raise CommandError(f"No answer from {', '.join(silent)}.")


def chosen(names: list[str]) -> list[Node]:
    """The enabled nodes, or those named."""
    if not names:
        return list(Node.objects.enabled())
    nodes = list(Node.objects.filter(name__in=names))
    if unknown := set(names) - {node.name for node in nodes}:
        raise CommandError(
            f"There is no node {', '.join(sorted(unknown))}; `manage.py nodes` lists them.", returncode=2
        )
    return nodes


def came_for(node: Node, model: str) -> str:
    """Why the scheduler loaded it, as it wrote that down; empty where it did not."""
    for each in node.scene.get("residents", ()):
        if each.get("model") == model:
            unused = each.get("cause") == "prefetch" and not each.get("used", True)
            return "prefetch, not used yet" if unused else str(each.get("cause", ""))
    return ""


def row(node: Node, running: RunningModel) -> tuple[str, ...]:
    return (
        node.name,
        running.name,
        gib(running.size_vram),
        gib(running.spilled_bytes) if running.spilled_bytes else "",
        str(running.num_ctx or "?"),
        running.digest[:12],
        until(running.expires_at),
        came_for(node, running.name),
    )


def until(moment: datetime | None) -> str:
    if moment is None:
        return "?"
    if moment.year >= FOREVER_YEAR:
        return "for ever"
    left = round((moment - timezone.now()).total_seconds())
    return f"{left} s" if left > 0 else "its requests end"


def as_json(node: Node, running: RunningModel) -> dict[str, Any]:
    return {
        "node": node.name,
        "model": running.name,
        "digest": running.digest,
        "size_bytes": running.size_bytes,
        "size_vram": running.size_vram,
        "num_ctx": running.num_ctx,
        "expires_at": running.expires_at,
        "came_for": came_for(node, running.name),
    }

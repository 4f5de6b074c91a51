from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from scheduler.management import health
from scheduler.management.asking import AskCommand
from scheduler.models import Node
from scheduler.policy.names import BadName, normalise


class Command(AskCommand):
    help = "Ask the scheduler to take a model out of VRAM, after what runs on it has ended."
    kind = "evict"

    def wanted(self, options: dict[str, Any]) -> list[dict[str, str]]:
        """One request for each node that holds it."""
        if options["node"]:
            return super().wanted(options)
        try:
            model = normalise(options["model"])
        except BadName as error:
            raise CommandError(str(error), returncode=2) from error
        nodes = list(Node.objects.enabled())
        looks = zip(nodes, health.look(nodes), strict=True)
        holders = [node.name for node, seen in looks if any(r.name == model for r in seen.running)]
        if not holders and not options["json"]:
            self.stdout.write(f"{model} is not loaded on any node that answers.")
        return [{"model": model, "node": node} for node in holders]

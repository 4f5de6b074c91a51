from __future__ import annotations

import asyncio
from argparse import SUPPRESS
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from scheduler.catalogue import sync
from scheduler.management import access_to, health
from scheduler.management.console import ConsoleCommand, gib, show, size
from scheduler.management.health import Health
from scheduler.models import ModelOnNode, Node
from scheduler.models.node import clean_url, name_for
from scheduler.models.signals import operator_wrote

COLUMNS = (
    "NODE",
    "ADDRESS",
    "STATE",
    "VERSION",
    "SLOTS",
    "MODELS",
    "LOADED",
    "VRAM USED",
    "OF",
    "ANSWERS IN",
)


class Command(ConsoleCommand):
    help = "List the nodes with a live look at each, add one, or remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", metavar="{list,add,access,reseal,remove}")
        listing = actions.add_parser("list", help="List them (the default). Exit code 1 when one is down.")
        adding = actions.add_parser("add", help="Add a node and read its models.")
        adding.add_argument("url", help="http://host:11434")
        adding.add_argument("--name", help="Default: the host's name.")
        adding.add_argument("--slots", type=int, help="Its OLLAMA_NUM_PARALLEL.")
        adding.add_argument("--vram", type=size, help="What models may take, such as 24GiB.")
        adding.add_argument(
            "--kv-type", choices=Node.KvType.values, default="f16", help="Its OLLAMA_KV_CACHE_TYPE."
        )
        adding.add_argument("--agent", default="", help="Where `manage.py agent` runs on its machine.")
        adding.add_argument("--note", default="")
        access_to.of_file(adding)
        accessing = actions.add_parser("access", help="Say what a node behind a reverse proxy asks for.")
        accessing.add_argument("name")
        access_to.of_file(accessing)
        accessing.add_argument("--forget", action="store_true", help="It asks for nothing any more.")
        resealing = actions.add_parser(
            "reseal", help="Seal what is kept with BRIDGE_NODE_SECRET as it is now."
        )
        removing = actions.add_parser("remove", help="Remove a node from the table; it goes on running.")
        removing.add_argument("name")
        for action in (listing, adding, accessing, resealing, removing):
            # Not overwritten when --json stood before the action.
            action.add_argument("--json", action="store_true", default=SUPPRESS, help="Write JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "add":
                self._add(options)
            case "access":
                self._access(options)
            case "reseal":
                self.stdout.write(f"{access_to.reseal()} nodes are sealed with the secret of now.")
            case "remove":
                self._remove(options["name"], options["json"])
            case _:
                self._list(options["json"])

    def _list(self, as_json: bool) -> None:
        nodes = list(Node.objects.all())
        held = Counter(ModelOnNode.objects.values_list("node_id", flat=True))
        found = list(zip(nodes, health.look(nodes), strict=True))
        if as_json:
            self.write_json([described(node, seen, held[node.pk]) for node, seen in found])
        elif not nodes and self.stdout.isatty():
            self.stdout.write("There is no node. Add one: manage.py nodes add http://host:11434")
        else:
            show(self.stdout, COLUMNS, [row(node, seen, held[node.pk]) for node, seen in found])
        if silent := [f"{node.name} ({seen.error})" for node, seen in found if seen.error and node.enabled]:
            raise CommandError(f"No answer from {', '.join(silent)}.")

    def _add(self, options: dict[str, Any]) -> None:
        try:
            node = _new_node(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from None
        report = asyncio.run(sync([node]))
        (result,) = report.nodes
        if options["json"]:
            self.write_json(
                {"name": node.name, "url": node.url, "error": result.error, "models": result.added}
            )
        elif not result.error:
            self.stdout.write(
                f"Added {node.name} at {node.url}: Ollama {result.version}, {len(result.added)} models."
            )
        if result.error:
            self.stderr.write(f"Added {node.name}, which does not answer yet: {result.error}")

    def _access(self, options: dict[str, Any]) -> None:
        node = access_to.named(options["name"])
        node.sealed = "" if options["forget"] else access_to.given(options, node)
        with transaction.atomic():
            node.save(update_fields=["sealed"])
            tell("node.access", node, before={}, after={"headers": node.access.names})
        (seen,) = health.look([node])
        said = f"Ollama {seen.version} answers." if not seen.error else f"It does not answer: {seen.error}."
        if options["json"]:
            self.write_json({"name": node.name, "headers": node.access.names, "error": seen.error})
        else:
            self.stdout.write(f"{node.name}: {', '.join(node.access.names) or 'no headers'}. {said}")

    def _remove(self, name: str, as_json: bool) -> None:
        node = Node.objects.filter(name=name).first()
        if node is None:
            raise CommandError(f"There is no node {name!r}; `manage.py nodes` lists them.", returncode=2)
        with transaction.atomic():
            node.delete()
            tell("node.delete", node, before=facts(node), after={})
        if as_json:
            self.write_json({"removed": name})
        else:
            self.stdout.write(f"Removed {name}.")
        if node.url in {clean_url(url) for url in settings.OLLAMA_URLS}:
            self.stderr.write(
                f"OLLAMA_URL names {node.url}: take it out there, or it comes back at the next sync."
            )


def _new_node(options: dict[str, Any]) -> Node:
    url = clean_url(options["url"])
    taken = set(Node.objects.values_list("name", flat=True))
    node = Node(
        name=options["name"] or name_for(url, taken),
        url=url,
        slots=options["slots"],
        vram_bytes=options["vram"],
        kv_type=options["kv_type"],
        agent_url=options["agent"],
        note=options["note"],
        sealed=access_to.given(options),
    )
    node.full_clean()
    with transaction.atomic():
        node.save()
        tell("node.add", node, before={}, after=facts(node))
    return node


def tell(action: str, node: Node, *, before: dict[str, Any], after: dict[str, Any]) -> None:
    """For the audit log."""
    operator_wrote.send(
        Node, action=action, kind="node", target=node.name, name=node.name, before=before, after=after
    )


def facts(node: Node) -> dict[str, Any]:
    """What an operator decides about a node."""
    names = ("name", "url", "enabled", "draining", "slots", "vram_bytes", "kv_type", "agent_url", "note")
    return {name: getattr(node, name) for name in names}


def state(node: Node, seen: Health) -> str:
    """In a word, what keeps it from work; what it answers now counts before what was seen last."""
    if not node.enabled:
        return "disabled"
    if seen.error:
        return "down"
    if node.state == Node.State.QUARANTINED:
        return "quarantined"
    return "draining" if node.draining else "up"


def row(node: Node, seen: Health, held: int) -> tuple[str, ...]:
    answered = seen.seconds is not None
    return (
        node.name,
        node.url,
        state(node, seen),
        seen.version or node.version,
        str(node.parallel),
        str(held),
        " ".join(running.name for running in seen.running),
        gib(seen.used_bytes) if answered else "",
        gib(node.vram_total),
        f"{seen.seconds * 1000:.0f} ms" if seen.seconds is not None else "",
    )


def described(node: Node, seen: Health, held: int) -> dict[str, Any]:
    return {
        **facts(node),
        "state": state(node, seen),
        "state_reason": seen.error or node.state_reason,
        "version": seen.version or node.version,
        "models": held,
        "running": [running.name for running in seen.running],
        "vram_used_bytes": seen.used_bytes if seen.seconds is not None else None,
        "vram_total_bytes": node.vram_total,
        "answer_s": seen.seconds,
        "last_seen_at": node.last_seen_at,
        "gpus": node.gpus,
        "gpus_at": node.gpus_at,
    }

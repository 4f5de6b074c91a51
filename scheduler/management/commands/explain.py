from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from scheduler.board.interface import BoardDown, Line
from scheduler.board.redis import RedisBoard
from scheduler.management.console import ConsoleCommand, gib, show
from scheduler.models import Node
from scheduler.policy.config import DEFAULT
from scheduler.policy.names import BadName, normalise
from scheduler.residency import rows
from scheduler.residency.explain import Explanation, OnNode, explain
from scheduler.residency.fleet import Fleet
from scheduler.residency.rows import Reading, Rows
from scheduler.residency.survey import survey

COLUMNS = ("NODE", "FREE", "OF", "NEEDS", "LOADS IN", "WOULD GO", "WHY")
HEADLINES = {
    "resident": "{model} is loaded on {node}.",
    "load": "{model} would be loaded on {node} with {num_ctx} tokens of context; nothing has to go.",
    "evict": "{model} would be loaded on {node} with {num_ctx} tokens of context; {goes} would go.",
    "drain": "{model} would wait on {node} until {goes} has run empty, and then be loaded.",
    "wait": "{model} would wait.",
    "refuse": "{model} would be refused.",
}


class Command(ConsoleCommand):
    help = (
        "Say what would become of a request for a model now: where it would be placed, what would go, why. "
        "Looks at the nodes itself; no scheduler has to run. Exit code 1 when it would be refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument(
            "--num-ctx", type=int, default=0, metavar="TOKENS", help="Context that the request asks for."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            name = normalise(options["model"])
        except BadName as error:
            raise CommandError(str(error), returncode=2) from error
        found = _explained(name, options["num_ctx"])
        if options["json"]:
            self.write_json(asdict(found))
        else:
            self.stdout.write(headline(found))
            if found.nodes:
                show(self.stdout, COLUMNS, [row(each) for each in found.nodes])
        if found.verdict == "refuse":
            raise CommandError(found.said)


def _explained(name: str, num_ctx: int) -> Explanation:
    known = rows.read()
    logging.getLogger("scheduler.residency.watch").setLevel(logging.ERROR)  # the table says what was found
    fleet, lines = asyncio.run(_look(known, rows.readings()))
    _recall(fleet)
    errors = {sight.node: sight.error for sight in fleet.sights.values() if not sight.up}
    return explain(fleet.state(lines), name, fleet.clock(), DEFAULT, num_ctx=num_ctx, errors=errors)


def _recall(fleet: Fleet) -> None:
    """Why the scheduler loaded what is there, as it wrote that down."""
    for name, scene in Node.objects.enabled().values_list("name", "scene"):
        for each in scene.get("residents", ()):
            resident = fleet.book.get(name, each["model"])
            if resident is not None:
                resident.cause, resident.used = each["cause"], each.get("used", True)


async def _look(known: Rows, readings: Mapping[str, Reading]) -> tuple[Fleet, list[Line]]:
    """The nodes, and in a fleet the board: who waits, and what is in flight."""
    fleet = await survey(known, readings)
    if not settings.REDIS_URL:
        return fleet, []  # the board is in the memory of the process that serves
    board = RedisBoard(settings.REDIS_URL)
    try:
        fleet.book.note_loads(await board.loads())
        return fleet, await board.demand()
    except BoardDown:
        return fleet, []
    finally:
        await board.aclose()


def headline(found: Explanation) -> str:
    said = HEADLINES[found.verdict].format(
        model=found.model, node=found.node, num_ctx=found.num_ctx, goes=", ".join(found.goes)
    )
    return said if found.verdict in ("resident", "refuse") else f"{said}\n{found.said}"


def row(each: OnNode) -> tuple[str, ...]:
    return (
        each.node,
        gib(each.free_bytes),
        gib(each.vram_bytes),
        gib(each.need_bytes) if each.need_bytes is not None else "",
        "" if each.load_s is None else f"{each.load_s:.1f} s",
        ", ".join(each.goes),
        each.said,
    )

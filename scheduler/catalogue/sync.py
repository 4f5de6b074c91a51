from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping, Sequence

from django.conf import settings

from scheduler.catalogue import apply
from scheduler.catalogue.observe import Facts, observe
from scheduler.catalogue.report import NodeSync, SyncReport
from scheduler.database_thread import DatabaseThread
from scheduler.models import Access, Node
from scheduler.nodes import NodeClient, NodeFailure

log = logging.getLogger(__name__)

Connect = Callable[[str, str, Access], NodeClient]


def nodes_to_sync() -> list[Node]:
    """All enabled nodes, with rows made for the addresses of OLLAMA_URL that have none."""
    for node in Node.objects.seed(settings.OLLAMA_URLS):
        log.info("Node %s is new, from OLLAMA_URL: %s", node.name, node.url)
    return list(Node.objects.enabled())


async def sync(
    nodes: Sequence[Node] | None = None,
    *,
    connect: Connect = NodeClient,
    on_node: Callable[[NodeSync], None] | None = None,
) -> SyncReport:
    """Read the nodes (None: all enabled) and make the rows equal to what they hold.

    Each node's rows are written when it has answered, and `on_node` is told: a slow one keeps no other
    waiting. The revision of the catalogue moves only when something changed. A node that cannot be read
    keeps its models.
    """
    start = time.monotonic()
    async with DatabaseThread("catalogue") as database:
        if nodes is None:
            nodes = await database.run(nodes_to_sync)
        known = await database.run(apply.known_facts)

        async def one(node: Node) -> NodeSync:
            result = await _sync_one(node, known, database, connect)
            if on_node is not None:
                on_node(result)
            return result

        results = await asyncio.gather(*(one(node) for node in nodes))
        report = SyncReport(
            nodes=tuple(results),
            forgotten=await database.run(apply.forget_lost),
            drift=await database.run(apply.drift),
            shadowed=await database.run(apply.shadowed_aliases),
            seconds=time.monotonic() - start,
        )
    _log(report)
    return report


async def _sync_one(
    node: Node, known: MutableMapping[str, Facts], database: DatabaseThread, connect: Connect
) -> NodeSync:
    client = connect(node.name, node.url, node.access)
    was_down = node.state == Node.State.DOWN
    try:
        seen = await observe(client, known)
    except NodeFailure as failure:
        if not was_down:
            log.warning("Node %s cannot be read: %s", node.name, failure.text)
        return await database.run(apply.missed, node, failure.text)
    finally:
        await client.aclose()
    return await database.run(apply.apply, node, seen)


def _log(report: SyncReport) -> None:
    for node in report.nodes:
        for word in ("added", "changed", "removed"):
            if names := getattr(node, word):
                log.info("Node %s: %s %s", node.node, word, ", ".join(names))
        for problem in node.problems:
            log.warning("Node %s could not show %s", node.node, problem)
    for model, digests in report.drift.items():
        held = ", ".join(f"{digest[:12]} on {node}" for node, digest in sorted(digests.items()))
        log.debug("Model %s differs between nodes: %s", model, held)

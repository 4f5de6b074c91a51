"""The live page's figures: one whole snapshot of nodes, lines and decisions, from the rows and the board."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

from bridge.models import ApiKey
from scheduler.board import current
from scheduler.board.interface import BoardDown, InFlight, Line, Load
from scheduler.models import LedgerEntry, Node

DECISIONS = 15
REQUESTS = 50  # shown of those that wait, and of those that run
KEPT_S = 0.8  # a snapshot serves all who watch
Facts = dict[str, Any]


def may_watch(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whoever may see nodes in the admin."""
    return (
        isinstance(user, User) and user.is_active and user.is_staff and user.has_perm("scheduler.view_node")
    )


def may_operate(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Whoever may ask the scheduler for something."""
    return isinstance(user, User) and may_watch(user) and user.has_perm("scheduler.add_operatorrequest")


@dataclass(slots=True)
class Snapshots:
    """Makes a snapshot when the last one is too old; those who ask meanwhile get the same."""

    _made: Facts = field(default_factory=dict)
    _at: float = float("-inf")
    _turn: asyncio.Lock | None = None

    async def newest(self) -> Facts:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            if time.monotonic() - self._at >= KEPT_S:
                self._made = await snapshot()
                self._at = time.monotonic()
            return self._made


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the board says; `complaint` is why it says nothing."""

    lines: Sequence[Line] = ()
    loads: Sequence[Load] = ()
    in_flight: Sequence[InFlight] = ()
    complaint: str = ""


async def snapshot() -> Facts:
    """The snapshot of this moment."""
    seen = await demand()
    return snapshot_of(seen, *await database_sync_to_async(rows)(seen))


async def demand() -> Demand:
    board = current.current()
    if board is None:
        return Demand(complaint="This process has no board: who waits is not known here.")
    try:
        return Demand(
            lines=await board.demand(),
            loads=await board.loads(),
            in_flight=await board.in_flight(REQUESTS),
        )
    except BoardDown as error:
        return Demand(complaint=f"The board cannot be reached, who waits is not known: {error}")


def rows(demand: Demand) -> tuple[list[Node], list[LedgerEntry], dict[str, str]]:
    """Nodes, the last decisions, and the names of the keys in flight, in three queries."""
    accounts = {each.key for each in demand.in_flight}
    keys = ApiKey.objects.filter(account__in=accounts).order_by("pk").values_list("account", "name")
    return list(Node.objects.enabled()), list(LedgerEntry.objects.all()[:DECISIONS]), dict(keys)


def snapshot_of(
    demand: Demand, nodes: Iterable[Node], decisions: Iterable[LedgerEntry], names: Mapping[str, str]
) -> Facts:
    """What is where and who waits, as values for JSON. Times are Unix seconds, sizes are bytes."""
    facts = [node_facts(node, demand.loads) for node in nodes]
    return {
        "at": time.time(),
        "complaint": demand.complaint,
        "running": sum(load.in_flight for load in demand.loads),
        "waiting": sum(line.waiting for line in demand.lines),
        "nodes": facts,
        "lines": [line_facts(line, facts, demand.in_flight) for line in demand.lines],
        "requests": [request_facts(each, names) for each in demand.in_flight],
        "decisions": [decision_facts(entry) for entry in decisions],
    }


def node_facts(node: Node, loads: Iterable[Load]) -> Facts:
    """A node with its residents, and what its VRAM is used for."""
    busy = {load.model: load for load in loads if load.node == node.name}
    residents = [_resident(each, busy.get(each["model"])) for each in node.scene.get("residents", ())]
    doing = node.scene.get("doing")
    used = sum(each["bytes"] for each in residents)
    reserved = doing["bytes"] if doing else 0
    return {
        "name": node.name,
        "state": "draining" if node.draining and node.state == Node.State.UP else node.state,
        "reason": node.state_reason,
        "since": node.state_since.timestamp() if node.state_since else None,
        "draining": node.draining,
        "version": node.version,
        "seen_at": node.last_seen_at.timestamp() if node.last_seen_at else None,
        "total": node.vram_total,
        "used": used,
        "reserved": reserved,
        "free": _free(node, used + reserved),
        "spilled": sum(each["spilled_bytes"] for each in residents),
        "residents": residents,
        "doing": doing,
        "gpus": [{name: gpu.get(name) for name in GPU_FACTS} for gpu in node.gpus],
    }


GPU_FACTS = ("name", "free", "total", "util", "power_w", "temperature")


def _resident(held: Facts, load: Load | None) -> Facts:
    return {
        **held,
        "in_flight": load.in_flight if load else 0,
        "last_used": load.last_used if load else None,
    }


def _free(node: Node, taken: int) -> int | None:
    """Bytes that nothing holds, and never more than the GPUs themselves say; None when nobody knows."""
    total = node.vram_total
    if total is None:
        return None
    measured = sum(int(gpu["free"]) for gpu in node.gpus) if node.gpus else total
    return max(min(total - taken, measured), 0)


def request_facts(request: InFlight, names: Mapping[str, str]) -> Facts:
    """A request in flight, with the name of its key."""
    return {
        "id": request.ticket,
        "key": names.get(request.key, request.key),
        "model": request.model,
        "node": request.node,
        "since": request.since,
        "position": request.position,
        "wait_s": request.wait_s,
    }


def line_facts(line: Line, nodes: Iterable[Facts], in_flight: Iterable[InFlight] = ()) -> Facts:
    """A line with why it waits, and what its first and its last may expect where that can be predicted."""
    why, until = why_waiting(line.model, nodes)
    mine = [each for each in in_flight if each.model == line.model and each.position]
    waits = {each.position: each.wait_s for each in mine}
    return {
        "model": line.model,
        "waiting": line.waiting,
        "since": line.since,
        "num_ctx": line.num_ctx,
        "keys": len(line.keys),
        "why": why,
        "until": until,
        "wait_first_s": waits.get(1),
        "wait_last_s": waits.get(line.waiting),
    }


def why_waiting(model: str, nodes: Iterable[Facts]) -> tuple[str, float | None]:
    """A sentence, and the Unix second at which a load that runs for it should be done."""
    served: list[str] = []
    for node in nodes:
        doing = node["doing"]
        if doing and doing["kind"] == "load" and doing["model"] == model:
            return f"It is being loaded on {node['name']}.", doing["until"]
        for each in node["residents"]:
            if each["wanted_by"] == model:
                return f"{each['model']} on {node['name']} runs empty to make room.", None
            if each["model"] == model:
                served.append(f"{node['name']} ({each['in_flight']} of {each['slots']} slots busy)")
    if served:
        return f"Resident on {', '.join(served)}.", None
    return "Not resident; the scheduler looks for room.", None


def decision_facts(entry: LedgerEntry) -> Facts:
    return {
        "id": entry.pk,
        "at": entry.at.timestamp(),
        "kind": entry.kind,
        "model": entry.model,
        "node": entry.node,
        "cause": entry.cause,
        "seconds": entry.seconds,
        "outcome": entry.outcome,
        "reason": entry.reason,
    }


SNAPSHOTS = Snapshots()

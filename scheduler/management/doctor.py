"""What can be wrong, looked at one by one: each finding with its cause and its cure."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import redis
from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduler.catalogue.apply import drift
from scheduler.models import ModelOnNode, Node, OperatorRequest, PinningPolicy

Level = Literal["ok", "warn", "fail"]
ALIVE_S = 30.0  # the leader writes each node's last_seen_at every ten seconds
STALE_INTERVALS = 5  # of the catalogue's sync
DISK_WARN, DISK_FAIL = 2 * 2**30, 200 * 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: str
    level: Level
    said: str
    cure: str = ""


def findings(looks: Callable[[Sequence[Node]], Iterator[Finding]]) -> Iterator[Finding]:
    """All checks in order; those that need the database end with it. `looks` looks at the nodes live."""
    yield from configuration()
    yield from disk()
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        yield Finding(
            check="database",
            level="fail",
            said=f"It does not answer: {str(error).strip()}.",
            cure="Start it, or check DATABASE_URL; without one, BRIDGE_DATA_DIR must be writable.",
        )
        return
    yield Finding(check="database", level="ok", said=f"{connection.vendor} answers.")
    missing = list(migrations())
    yield from missing
    yield from board()
    if any(found.level == "fail" for found in missing):
        return
    nodes = list(Node.objects.enabled())
    yield from looks(nodes)
    yield from quarantines(nodes)
    yield from scheduler_alive(nodes)
    yield from catalogue(nodes)
    yield from pins()
    yield from requests()


def configuration() -> Iterator[Finding]:
    """Django's system checks, which know wrong mixtures of settings."""
    said = [m for m in checks.run_checks() if m.level >= checks.WARNING and not m.is_silenced()]
    for message in said:
        level: Level = "fail" if message.level >= checks.ERROR else "warn"
        yield Finding(check="settings", level=level, said=message.msg, cure=message.hint or "")
    if not said:
        yield Finding(check="settings", level="ok", said="They fit together.")


def disk() -> Iterator[Finding]:
    """Usage waits in files there until the database takes it."""
    place = Path(settings.DATA_DIR)
    place = place if place.exists() else place.parent
    free = shutil.disk_usage(place).free
    level: Level = "ok" if free > DISK_WARN else "warn" if free > DISK_FAIL else "fail"
    cure = (
        "" if level == "ok" else "Make room, or set BRIDGE_DATA_DIR: usage records wait there in an outage."
    )
    yield Finding(check="disk", level=level, said=f"{free / 2**30:.1f} GiB are free at {place}.", cure=cure)


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(sorted({f"{m.app_label}.{m.name}" for m, _ in plan})[:3])
        yield Finding(
            check="migrations",
            level="fail",
            said=f"{len(plan)} are not applied ({names}{', …' if len(plan) > 3 else ''}).",
            cure="Run `manage.py migrate`.",
        )
    else:
        yield Finding(check="migrations", level="ok", said="All are applied.")


def board() -> Iterator[Finding]:
    """In a fleet the board is in Redis, which must forget nothing by itself."""
    if not settings.REDIS_URL:
        yield Finding(check="board", level="ok", said="In memory: everything runs in one process.")
        return
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2.0, retry=Retry(NoBackoff(), 0))
    try:
        client.ping()
        policy = dict(client.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
    except redis.ResponseError:  # managed services forbid CONFIG
        policy = "noeviction"
    except redis.RedisError as error:
        cure = "Start it, or check REDIS_URL. Warm traffic goes on meanwhile, without shared limits."
        yield Finding(check="board", level="fail", said=f"Redis does not answer: {error}.", cure=cure)
        return
    finally:
        client.close()
    if policy != "noeviction":
        said = f"Redis may drop keys when memory is short: maxmemory-policy is {policy}."
        yield Finding(check="board", level="warn", said=said, cure="Set it to noeviction.")
        return
    yield Finding(check="board", level="ok", said="Redis answers, and drops nothing by itself.")


def quarantines(nodes: Sequence[Node]) -> Iterator[Finding]:
    for node in nodes:
        if node.state == Node.State.QUARANTINED:
            yield Finding(
                check=f"node {node.name}",
                level="fail",
                said=f"Its loads hang while it answers. {node.state_reason}",
                cure="Restart Ollama on it: known hangs end only so. What is loaded is served meanwhile.",
            )


def scheduler_alive(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Whoever leads writes when it saw each node."""
    up = [node for node in nodes if node.state != Node.State.DOWN]
    if not up:
        return
    newest = max((node.last_seen_at for node in up if node.last_seen_at), default=None)
    age = (timezone.now() - newest).total_seconds() if newest else None
    if age is not None and age <= ALIVE_S:
        yield Finding(check="scheduler", level="ok", said=f"It saw a node {age:.0f} s ago.")
        return
    said = "None has seen a node yet." if age is None else f"None has seen a node for {age:.0f} s."
    cure = (
        "Start `manage.py runscheduler`" if settings.REDIS_URL else "Start `manage.py serve`, which runs it"
    )
    yield Finding(
        check="scheduler", level="fail", said=said, cure=f"{cure}: until then cold requests get a 503."
    )


def catalogue(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Age, emptiness, and names that mean different models on different nodes."""
    seen = ModelOnNode.objects.filter(node__in=nodes).order_by("-seen_at").values_list("seen_at", flat=True)
    newest = seen.first()
    late = timedelta(seconds=max(STALE_INTERVALS * settings.SYNC_INTERVAL_S, 60.0))
    if newest is None:
        cure = "Pull a model on a node (`ollama pull llama3.2`), then run `manage.py synccatalog`."
        yield Finding(check="catalogue", level="warn", said="No node holds a model.", cure=cure)
    elif timezone.now() - newest > late:
        age = (timezone.now() - newest).total_seconds()
        cure = "Run `manage.py synccatalog`; a scheduler does it by itself."
        yield Finding(check="catalogue", level="warn", said=f"It was read {age:.0f} s ago.", cure=cure)
    else:
        yield Finding(check="catalogue", level="ok", said=f"{seen.count()} models on {len(nodes)} nodes.")
    for model, digests in drift().items():
        held = ", ".join(f"{digest[:12]} on {node}" for node, digest in sorted(digests.items()))
        yield Finding(
            check="catalogue",
            level="warn",
            said=f"{model} is not the same everywhere: {held}.",
            cure=f"Run `ollama pull {model}` on the nodes that lag behind.",
        )


def pins() -> Iterator[Finding]:
    for policy in PinningPolicy.objects.filter(enabled=True):
        try:
            policy.full_clean()
        except ValidationError as error:
            said = f"{policy.name} cannot be kept: {' '.join(error.messages)}"
            cure = "Change it, or another one, in the admin."
            yield Finding(check="pins", level="warn", said=said, cure=cure)


def requests() -> Iterator[Finding]:
    old = OperatorRequest.objects.waiting().filter(at__lt=timezone.now() - timedelta(minutes=1)).count()
    if old:
        said = f"{old} requests of operators wait for more than a minute."
        yield Finding(
            check="requests", level="warn", said=said, cure="Is a scheduler running, and is there room?"
        )

"""Restoring a backup: what speaks against it, the exchange itself, and what processes must notice."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.db.migrations.loader import MigrationLoader

from bridge import keyformat
from bridge.backups import container, engine, postgresql
from bridge.backups.backup import applied
from bridge.backups.container import About, BadBackup
from bridge.models import Actor, ApiKey, AuditEvent
from scheduler.models import Node, Revision

OURS = ("bridge.", "scheduler.", "dashboard.")


class InTheWay(RuntimeError):
    """The backup is good, but now is not the time; the message says what to do."""


def fits(about: About) -> None:
    """Whether this bridge can take the backup over. Raises BadBackup."""
    if about.engine != engine.name():
        raise BadBackup(
            f"It was made on {about.engine}, and this bridge uses {engine.name()}: a backup goes back to the"
            " kind of database that it came from."
        )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if newer := [name for name in about.migrations if name.startswith(OURS) and name not in known]:
        raise BadBackup(f"A newer version made it (it has {newer[-1]}): install that version first.")
    if engine.name() == postgresql.NAME and (more := sorted(set(applied()) - set(about.migrations))):
        raise BadBackup(
            f"The database has tables that the backup does not know (of {more[-1]}): restore it into an empty"
            " database instead, and point DATABASE_URL there."
        )


def replace(path: Path, actor: Actor) -> None:
    """Put the backup in the database's place. Raises BadBackup, InTheWay, ToolFailed, OSError:
    then nothing has changed."""
    if who := appending(Path(settings.DATA_DIR) / "outbox") or engine.in_use():
        raise InTheWay(f"A bridge is running ({who}): stop every process of it first.")
    numbers = _revisions()
    with tempfile.TemporaryDirectory(dir=settings.DATA_DIR, prefix=".restore.") as directory:
        database = Path(directory) / container.DATABASE
        container.unpack(path, database)
        engine.check(database)
        engine.load(database)
    call_command("migrate", verbosity=0, interactive=False)
    _tell(numbers, path, actor)


def appending(outbox: Path) -> str:
    """Which segment of the outbox a process appends to, in words; empty for none."""
    for path in sorted(outbox.glob("*.jsonl")):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"it writes usage to {path.name}"
        except (
            FileNotFoundError
        ):  # imported between the two calls: then a bridge runs, and the next look tells
            continue
    return ""


def _revisions() -> dict[str, int]:
    try:
        return dict(Revision.objects.values_list("topic", "number"))
    except DatabaseError:  # an empty database
        return {}


def _tell(numbers: dict[str, int], path: Path, actor: Actor) -> None:
    """Move every revision past what any process has seen, and tell the audit log."""
    with transaction.atomic():
        restored = dict(Revision.objects.values_list("topic", "number"))
        for topic in {**numbers, **restored}:
            number = max(numbers.get(topic, 0), restored.get(topic, 0)) + 1
            Revision.objects.update_or_create(topic=topic, defaults={"number": number})
        AuditEvent.objects.record(
            actor, "database.restore", kind="database", target=engine.name(), name=path.name
        )


def unlike(about: About) -> list[str]:
    """What the file says that this bridge will not be able to read, before anything is done."""
    peppers = [settings.KEY_PEPPER, *settings.OLD_KEY_PEPPERS]
    if about.pepper in map(keyformat.pepper_version, peppers):
        return []
    said = (
        f"Its keys were made with another pepper (version {about.pepper}) and cannot be verified here:"
        " give it as BRIDGE_PEPPER or among BRIDGE_OLD_PEPPERS."
    )
    return [said]


def unreadable() -> list[str]:
    """What the secrets of this bridge do not fit, once the database is there."""
    said = []
    if keys := ApiKey.objects.unverifiable().count():
        said.append(
            f"{keys} keys cannot be verified here: their pepper is not configured. Give it as"
            " BRIDGE_OLD_PEPPERS."
        )
    if nodes := sorted(_closed(Node.objects.exclude(sealed=""))):
        said.append(f"The headers of {', '.join(nodes)} cannot be unsealed: give BRIDGE_OLD_NODE_SECRETS.")
    return said


def _closed(nodes: Iterable[Node]) -> list[str]:
    return [node.name for node in nodes if node.access.fault]

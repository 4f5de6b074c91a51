"""Making a backup."""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from bridge import keyformat
from bridge.backups import container, engine
from bridge.backups.container import About
from bridge.models import Actor, AuditEvent


def make(path: Path, actor: Actor) -> About:
    """Write the database as it is now to `path`, with mode 0600, whole or not at all. Raises OSError,
    postgresql.ToolFailed."""
    now = timezone.now()
    with transaction.atomic():  # the backup knows of itself: who restores it sees when it was made
        AuditEvent.objects.record(
            actor, "database.backup", kind="database", target=engine.name(), name=path.name
        )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as directory:
        database = Path(directory) / container.DATABASE
        engine.dump(database)
        about = About(
            engine=engine.name(),
            made_at=now.isoformat(timespec="seconds"),
            pepper=keyformat.pepper_version(settings.KEY_PEPPER),
            migrations=applied(),
            sha256=container.sha256_of(database),
        )
        container.pack(path, database, about)
    return about


def applied() -> list[str]:
    """The migrations that the database has; none for an empty one."""
    found = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in found)

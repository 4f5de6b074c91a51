"""Who may add up: one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from bridge.models import Mark


@contextmanager
def turn(name: str) -> Iterator[Mark | None]:
    """The mark of this name while nobody else works on it; None while somebody does.

    On SQLite there is one process, and a transaction would hold up all other writers: none is opened."""
    if connection.vendor == "sqlite":
        yield Mark.objects.get_or_create(name=name)[0]
        return
    Mark.objects.get_or_create(name=name)
    with transaction.atomic():
        yield Mark.objects.select_for_update(skip_locked=True).filter(name=name).first()

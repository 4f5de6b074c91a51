"""Up to which id every record is there: whoever reads on by id must not overtake one that is on its way."""

from __future__ import annotations

from django.db import connection, transaction

INSERTING = 0x0B_41_D6_E1  # number of PostgreSQL's advisory lock, which all who insert records share


def inserting() -> None:
    """Called in the transaction of an insert: `last_id` waits for its end."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [INSERTING])


def last_id(table: str) -> int:
    """The largest id of the table below which no row can appear any more.

    PostgreSQL gives ids before their transactions end, so a smaller one may become visible after a larger
    one: here all inserts under way are waited for. SQLite has one writer at a time."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [INSERTING])
        cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {connection.ops.quote_name(table)}")  # noqa: S608
        return int(cursor.fetchone()[0])

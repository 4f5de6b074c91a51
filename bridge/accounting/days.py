"""The sums of a day out of those of its hours, made inside the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, models

from bridge.models.rollups import DAY, HOUR


def fold(
    table: type[models.Model],
    day: datetime,
    *,
    by: Iterable[str],
    added: Iterable[str],
    largest: Iterable[str] = (),
) -> None:
    """Replace the rows of a day. Call it in the transaction that changed its hours."""
    quote, adapt = connection.ops.quote_name, connection.ops.adapt_datetimefield_value
    name = quote(table._meta.db_table)
    by, added, largest = list(by), list(added), list(largest)
    columns = ", ".join(map(quote, ("span", "start", *by, *added, *largest)))
    values = [*map(quote, by), *(f"SUM({quote(n)})" for n in added), *(f"MAX({quote(n)})" for n in largest)]
    table._default_manager.filter(span=DAY, start=day).delete()
    # The moment is written as a literal: PostgreSQL would take a parameter there for text.
    literal = f"timestamptz '{day.isoformat()}'" if connection.vendor == "postgresql" else f"'{adapt(day)}'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({columns}) SELECT {DAY}, {literal}, {', '.join(values)} FROM {name} "  # noqa: S608
            f"WHERE span = {HOUR} AND start >= %s AND start < %s GROUP BY {', '.join(map(quote, by))}",
            [adapt(day), adapt(day + timedelta(days=1))],
        )

"""When what is kept for so many days begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EVER = datetime(1970, 1, 1, tzinfo=UTC)


def kept_since(now: datetime, days: int) -> datetime:
    """A midnight (UTC): only whole days go. 0 days: everything is kept."""
    return midnight(now) - timedelta(days=days) if days else EVER


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)

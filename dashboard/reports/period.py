"""A report's period, as people write it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, time, timedelta

from bridge import env

FORMS = "give yesterday, today, now, 24h (ago), 2027-01-31 or 2027-01-31T12:00 (UTC)"


def start(words: str, now: datetime) -> datetime:
    """When a period begins: a day counts from its midnight. Raises ArgumentTypeError."""
    day = _day(words, now)
    return _moment(words, now) if day is None else _midnight(day)


def end(words: str, now: datetime) -> datetime:
    """When it ends: a day counts to its end. Raises ArgumentTypeError."""
    day = _day(words, now)
    return _moment(words, now) if day is None else _midnight(day) + timedelta(days=1)


def _day(words: str, now: datetime) -> date | None:
    today = now.astimezone(UTC).date()
    if words in ("today", "yesterday"):
        return today - timedelta(days=words == "yesterday")
    try:
        return date.fromisoformat(words) if len(words) == len("2027-01-31") else None
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(tzinfo=UTC))


def _moment(words: str, now: datetime) -> datetime:
    try:
        if words == "now":
            return now
        if "T" in words:
            at = datetime.fromisoformat(words)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        return now - timedelta(seconds=env.seconds(words))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{words!r} is no time; {FORMS}") from None

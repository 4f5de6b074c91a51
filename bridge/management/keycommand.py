"""What the commands about keys have in common."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from bridge import env
from bridge.models import ApiKey
from bridge.models.audit import facts
from scheduler.management.console import ConsoleCommand


class KeyCommand(ConsoleCommand):
    """Exit code 2 for bad input, 1 where a key's state or the database forbids it."""

    def write_new(self, key: ApiKey, token: str) -> None:
        """A new key: alone on stdout in a pipe, so that `KEY=$(manage.py createkey app)` works."""
        if not self.stdout.isatty():
            self.stdout.write(token)
            self.stderr.write(f"Key {key.public_id} for {key.name}. It is shown this once.")
            return
        self.stdout.write(f"\n  {self.style.SUCCESS(token)}\n\n")
        self.stdout.write(f"Key {key.public_id} for {key.name}. Copy it now: it is shown this once.")


def described(key: ApiKey) -> dict[str, Any]:
    """A key's public facts, for --json."""
    columns = facts(key, without=("id", "public_id", "digest", "pepper", "replaces"))
    return {"id": key.public_id, "state": key.state().value, **columns}


def find(text: str) -> ApiKey:
    try:
        return ApiKey.objects.named(text)
    except ApiKey.DoesNotExist:
        shown = text if len(text) < 20 else f"{text[:12]}…"  # never a secret, not even a mistyped one
        raise CommandError(
            f"There is no key {shown!r}. `manage.py listkeys` shows them all.", returncode=2
        ) from None


def refused(error: ValidationError, options: Mapping[str, str]) -> CommandError:
    """The model's objections, each under the option that set the field."""
    lines = [
        f"{options.get(field, field)}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    ]
    return CommandError("\n".join(lines), returncode=2)


def duration(text: str) -> timedelta:
    try:
        return timedelta(seconds=env.seconds(text))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no duration; give 90s, 10m, 24h or 30d") from None


def moment(text: str) -> datetime:
    """A duration from now (90d), a day (2027-01-31, to its end) or a time (2027-01-31T12:00), in UTC."""
    try:
        if len(text) == len("2027-01-31") and text.count("-") == 2:
            return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)) + timedelta(days=1)
        if "T" in text:
            at = datetime.fromisoformat(text)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        return timezone.now() + duration(text)
    except (ValueError, OverflowError, ArgumentTypeError):
        raise ArgumentTypeError(f"{text!r} is no time; give 90d, 2027-01-31 or 2027-01-31T12:00") from None

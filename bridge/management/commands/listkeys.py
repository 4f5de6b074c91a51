from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from bridge.management.keycommand import KeyCommand, described
from bridge.models import ApiKey, State
from bridge.tables import show

COLUMNS = ("ID", "NAME", "TEAM", "STATE", "SCOPES", "MODELS", "EXPIRES", "LAST USED")


class Command(KeyCommand):
    help = "List the API keys, the newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--state", choices=State.values, help="Only keys in this state.")

    def handle(self, *args: Any, **options: Any) -> None:
        keys = ApiKey.objects.all()
        if options["state"]:
            keys = keys.in_state(options["state"], timezone.now())
        if options["json"]:
            self.write_json([described(key) for key in keys])
        elif keys or not self.stdout.isatty():
            show(self.stdout, COLUMNS, [row(key) for key in keys])
        else:
            self.stdout.write("There is no key. Make one: manage.py createkey NAME")


def row(key: ApiKey) -> tuple[str, ...]:
    return (
        key.public_id,
        key.name,
        key.team,
        key.state().value,
        " ".join(key.scopes),
        " ".join(key.allowed_models) or "all",
        _minute(key.expires_at),
        _minute(key.last_used_at),
    )


def _minute(moment: datetime | None) -> str:
    return "never" if moment is None else moment.strftime("%Y-%m-%d %H:%M")

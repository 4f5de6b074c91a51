from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from bridge.management.keycommand import KeyCommand, described, find
from bridge.models import Actor


class Command(KeyCommand):
    help = "End an API key at once, in every process within a second. A second time changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", help="The key's id, as in listkeys, or a leaked key itself.")
        parser.add_argument("--reason", default="", help="Kept in the audit log.")

    def handle(self, *args: Any, **options: Any) -> None:
        key = find(options["id"])
        revoked = key.revoke(Actor.at_shell(), options["reason"])
        if options["json"]:
            self.write_json(described(key))
            return
        done = "is revoked" if revoked else f"was revoked before, on {key.revoked_at:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"Key {key.public_id} ({key.name}) {done}.")

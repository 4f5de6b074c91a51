from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from bridge.management.keycommand import KeyCommand, described, duration, find
from bridge.models import Actor, KeyRefused


class Command(KeyCommand):
    help = "Replace an API key by a new one with the same rights, and show that once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", help="The key's id, as in listkeys.")
        parser.add_argument(
            "--grace",
            type=duration,
            default="24h",
            metavar="DURATION",
            help="How long the old key works on (24h); 0 ends it at once.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        old = find(options["id"])
        try:
            new, token = old.rotate(Actor.at_shell(), options["grace"])
        except KeyRefused as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            ends = {"replaces": old.public_id, "old_works_until": old.grace_ends_at}
            self.write_json(described(new) | {"key": token} | ends)
            return
        self.write_new(new, token)
        until = f"{old.grace_ends_at:%Y-%m-%d %H:%M} UTC"
        self.stderr.write(f"It replaces {old.public_id}, which works until {until}.")

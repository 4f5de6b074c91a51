from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduler.simulator import cli


class Command(BaseCommand):
    help = "Run a fake node that behaves like Ollama, for tests, benches and a first look."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cli.run(Namespace(**options))
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error

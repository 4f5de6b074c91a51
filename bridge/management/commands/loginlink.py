"""`loginlink`: a link that signs an operator in, once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from bridge.env import public_url
from bridge.loginlink import link_for


class Command(BaseCommand):
    help = "Print a link that signs an operator in once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", default="admin", help="user name (admin)")

    def handle(self, *args: Any, **options: Any) -> str:
        user = User.objects.filter(username=options["user"], is_active=True, is_staff=True).first()
        if user is None:
            raise CommandError(f"No active operator is named {options['user']!r}.", returncode=2)
        return link_for(user, public_url())

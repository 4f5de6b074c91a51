"""`healthcheck`: what a container engine asks: does the process beside this one answer?"""

from __future__ import annotations

import http.client
import ssl
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from bridge.env import VALUES as ENV
from bridge.env import local_url

MOST_SHOWN = 500  # bytes of an answer that says no


class Command(BaseCommand):
    help = "Ask this machine's web process whether it should get traffic. Exit code 1 when it should not."
    requires_system_checks: list[str] = []  # it runs every few seconds

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--live", action="store_true", help="only whether it answers at all; a drain counts as well"
        )
        parser.add_argument("--url", help="another address, such as a scheduler's --metrics-port")
        parser.add_argument("--timeout", type=float, default=5.0, help="seconds (default %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"] or f"{local_url(ENV)}/{'livez' if options['live'] else 'readyz'}"
        try:
            status, body = ask(url, options["timeout"])
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{url} does not answer: {error or type(error).__name__}.") from None
        if status != 200:
            raise CommandError(f"{url} answers {status}: {body.decode('utf-8', 'replace').strip()}")


def ask(url: str, timeout_s: float) -> tuple[int, bytes]:
    """Status and the beginning of the body. Raises OSError and HTTPException."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # The certificate names the public host, and the question never leaves this machine.
        unverified = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=unverified)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        return response.status, response.read(MOST_SHOWN)
    finally:
        connection.close()

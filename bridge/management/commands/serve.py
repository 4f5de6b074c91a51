"""`serve`: the web process. In single mode the scheduler runs inside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from bridge import server
from bridge.env import VALUES as ENV
from bridge.supervisor import Supervisor


class Command(BaseCommand):
    help = "Serve the bridge: API, admin and, in single mode, the scheduler."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=ENV["BRIDGE_HOST"], help="address to listen on")
        parser.add_argument("--port", type=int, default=ENV["BRIDGE_PORT"], help="port to listen on")
        parser.add_argument("--workers", type=int, default=ENV["BRIDGE_WORKERS"], help="web processes")
        parser.add_argument("--fd", type=int, help="listen on this open socket instead (systemd)")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_pending_migrations()
        workers = options["workers"]
        if workers > 1 and not ENV["REDIS_URL"]:
            raise CommandError(
                "--workers above 1 needs REDIS_URL: processes share limits and seats through Redis."
            )
        given = {"host": options["host"], "port": options["port"]}
        config = server.config(**given)
        listener = listening(options["host"], options["port"], options["fd"])
        scheme = "https" if config.is_ssl else "http"
        self.stderr.write(
            f"Ollama Bridge on {scheme}://{options['host']}:{options['port']} (pid {os.getpid()})"
        )
        if workers > 1:
            share_metrics(Path(settings.DATA_DIR) / "metrics")
            if Supervisor(given, listener, workers).run():
                raise CommandError("The web processes did not come up.")
        else:
            server.end_well_on_sigterm()
            with contextlib.suppress(KeyboardInterrupt):
                server.WebServer(config).run([listener])


def listening(host: str, port: int, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    try:
        return server.listen(host, port)
    except OSError as error:
        raise CommandError(server.unavailable(host, port, error)) from None


def share_metrics(directory: Path) -> None:
    """Where the web processes, which start after this, keep their counts; those of the last run are gone."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


def refuse_pending_migrations() -> None:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is behind the code. Run: manage.py migrate")

"""`serve`: the web process. In single mode the scheduler runs inside it."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from uvicorn.supervisors import Multiprocess

from bridge import server
from bridge.env import VALUES as ENV


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
        config = server.config(host=options["host"], port=options["port"], fd=options["fd"], workers=workers)
        self.stderr.write(f"Ollama Bridge on http://{options['host']}:{options['port']} (pid {os.getpid()})")
        if workers > 1:
            socket = config.bind_socket()
            Multiprocess(config, sockets=[socket]).run()
        else:
            uvicorn.Server(config).run()


def refuse_pending_migrations() -> None:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is behind the code. Run: manage.py migrate")

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduler.gpus import GpuReader, local_provider
from scheduler.gpus.agent import Agent


class Command(BaseCommand):
    help = (
        "Serve this machine's GPU readings to the scheduler: run it on each node, name it in the node's row."
    )
    requires_system_checks: list[str] = []  # a GPU machine has no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=9410, help="Port to listen on (default %(default)s).")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, token = options["host"], options["port"], settings.AGENT_TOKEN
        if not token and not _is_loopback(host):
            raise CommandError(
                f"Others can reach {host}: set BRIDGE_AGENT_TOKEN, here and where the scheduler runs.",
                returncode=2,
            )
        config = uvicorn.Config(
            Agent(GpuReader(local_provider()), token=token),
            host=host,
            port=port,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=32,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        self.stderr.write(f"GPU readings on http://{host}:{port}/gpus")
        server.run()
        if not server.started:
            raise CommandError(f"{host}:{port} cannot be listened on.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduler.gpus import GpuReader, local_provider
from scheduler.gpus.agent import Agent
from scheduler.pagecache import Filler, ModelStore


class Command(BaseCommand):
    help = (
        "Serve this machine's GPU readings to the scheduler: run it on each node, name it in the node's row. "
        "With BRIDGE_AGENT_RAM it also reads likely models into the page cache, so that they load faster."
    )
    requires_system_checks: list[str] = []  # a GPU machine has no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=9410, help="Port to listen on (default %(default)s).")

        parser.add_argument(
            "--models-dir",
            type=Path,
            default=Path(settings.OLLAMA_MODELS).expanduser(),
            help="Where Ollama keeps its models (OLLAMA_MODELS; default %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, token = options["host"], options["port"], settings.AGENT_TOKEN
        if not token and not _is_loopback(host):
            raise CommandError(
                f"Others can reach {host}: set BRIDGE_AGENT_TOKEN, here and where the scheduler runs.",
                returncode=2,
            )
        filler = self._filler(options["models_dir"])
        config = uvicorn.Config(
            Agent(GpuReader(local_provider()), token=token, filler=filler),
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
        if filler is not None:
            filler.stop()
        if not server.started:
            raise CommandError(f"{host}:{port} cannot be listened on.")

    def _filler(self, models: Path) -> Filler | None:
        """None unless it was given memory."""
        budget: int = settings.AGENT_RAM
        if not budget:
            return None
        if not (models / "manifests").is_dir():
            raise CommandError(
                f"{models} holds no models of Ollama. Name the directory: --models-dir, or OLLAMA_MODELS.",
                returncode=2,
            )
        filler = Filler(ModelStore(models), budget_bytes=budget, bytes_per_s=settings.AGENT_READ_RATE)
        filler.start()
        self.stderr.write(f"Likely models are read ahead, {budget / 2**30:.1f} GiB at most.")
        return filler


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

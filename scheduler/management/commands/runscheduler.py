"""`runscheduler`: a scheduler of its own, for a fleet. Several may run; one leads, the others stand by."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from scheduler import metrics
from scheduler.board.make import make_board
from scheduler.residency.supervise import Fatal
from scheduler.worker import Worker


class Command(BaseCommand):
    help = "Run a scheduler: it alone loads and evicts. Of two, one takes over in seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--metrics-port", type=int, help="serve /metrics here; none unless given")
        parser.add_argument("--metrics-host", default="127.0.0.1", help="address for --metrics-port")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.REDIS_URL:
            raise CommandError(
                "A scheduler in a process of its own needs REDIS_URL: it meets the web processes at the "
                "board in Redis. Without Redis the scheduler runs inside `serve`.",
                returncode=2,
            )
        if options["metrics_port"]:
            metrics.serve(options["metrics_host"], options["metrics_port"])
        try:
            asyncio.run(run())
        except Fatal as error:
            raise CommandError(f"The scheduler cannot go on: {error}") from error


async def run() -> None:
    """Until SIGTERM or SIGINT. Raises Fatal when a part of the worker cannot be kept alive."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    board = make_board()
    worker = Worker(board)
    await worker.start()
    stopped = asyncio.create_task(stop.wait())
    try:
        ends: set[asyncio.Future[Any]] = {stopped, worker.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if worker.failed.done():
            worker.failed.result()
    finally:
        stopped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker.stop()
        await board.aclose()

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from scheduler.gpus.gpu import Gpu, GpusUnreadable, Provider

DEADLINE_S = 2.0


class GpuReader:
    """Reads a provider in a thread, within a deadline. A reading that hangs holds one thread, not many.

    The thread is a daemon: a sick GPU must not keep the process from ending.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._running: Future[tuple[Gpu, ...]] | None = None

    async def read(self, deadline_s: float = DEADLINE_S) -> tuple[Gpu, ...]:
        """Raises GpusUnreadable when the provider does, or when the deadline passes first.

        Callers at the same time share one reading.
        """
        if self._running is None or self._running.done():
            self._running = self._start()
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(self._running)
        except TimeoutError:
            raise GpusUnreadable(f"no reading in {deadline_s:g} s: a GPU may hang") from None

    def _start(self) -> Future[tuple[Gpu, ...]]:
        future: Future[tuple[Gpu, ...]] = Future()
        future.set_running_or_notify_cancel()  # a caller that gives up must not cancel it for the others
        threading.Thread(target=self._run, args=(future,), name="gpus", daemon=True).start()
        return future

    def _run(self, future: Future[tuple[Gpu, ...]]) -> None:
        try:
            future.set_result(tuple(self._provider.read()))
        except Exception as error:  # whatever it is, the waiting task must hear of it
            future.set_exception(
                error
                if isinstance(error, GpusUnreadable)
                else GpusUnreadable(f"{type(error).__name__}: {error}")
            )

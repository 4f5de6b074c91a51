"""Side tasks that may not die in silence: a dead one is logged and started again, or ends the worker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PAUSE_S = (0.2, 1.0)  # before a restart, with jitter: two schedulers must not stumble in step
DEATHS = 20  # within WINDOW_S: then it will not come right by itself
WINDOW_S = 60.0


class Fatal(RuntimeError):
    """A side task died again and again."""


class Supervisor:
    """Runs named tasks until `stop`. `failed` gets the reason when one cannot be kept alive."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def run(self, name: str, work: Callable[[], Awaitable[None]], *, ends: bool = False) -> None:
        """Keep `work` running; with `ends`, it may come to an end by itself."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._keep(name, work, ends), name=f"scheduler-{name}")

    def alive(self) -> list[str]:
        return sorted(self._tasks)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if not self.failed.done():
            self.failed.cancel()

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]], ends: bool) -> None:
        deaths: deque[float] = deque(maxlen=DEATHS)
        clock = asyncio.get_running_loop().time
        try:
            while True:
                try:
                    await work()
                    if ends:
                        return
                    log.error("The task %s ended by itself; it is started again.", name)
                except Exception:  # whatever it died of, it must run
                    log.exception("The task %s died; it is started again.", name)
                deaths.append(clock())
                if len(deaths) == DEATHS and deaths[-1] - deaths[0] < WINDOW_S:
                    self._give_up(name)
                    return
                await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311
        finally:
            self._tasks.pop(name, None)

    def _give_up(self, name: str) -> None:
        said = f"The task {name} died {DEATHS} times in {WINDOW_S:.0f} s; see the log for why."
        log.critical("%s The scheduler cannot go on.", said)
        if not self.failed.done():
            self.failed.set_exception(Fatal(said))
            self.failed.exception()  # said already: whoever awaits it hears it too, and nobody has to

"""The pulse of a stream that has nothing to say yet: headers and heartbeats, lest a load balancer cut it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.hot.answer import Headers
from bridge.hot.client import Client


class Pulse:
    """Used as a context manager around the wait. Costs one timer where the wait is short, as it mostly is;
    only a long one gets a task, which begins the answer and sends a heartbeat at each interval."""

    def __init__(
        self,
        client: Client,
        interval_s: float,
        *,
        opening: Callable[[], tuple[Headers, bytes]],
        beat: Callable[[], bytes],
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._opening = opening  # headers and first bytes of the stream
        self._beat = beat
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Pulse:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._start)
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        headers, first = self._opening()
        await self._client.begin(200, headers)
        await self._client.push(first + self._beat())
        while True:
            await asyncio.sleep(self._interval_s)
            await self._client.push(self._beat())

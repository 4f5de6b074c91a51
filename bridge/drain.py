"""The end in order: from SIGTERM on no new work, until what is open has ended or its time is over.

Handing over is the other way to go, where another process has the same socket: no new connection, but what
comes on open ones is answered, and each answer asks its client to connect anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from types import FrameType

from bridge.hot.client import DRAINING
from bridge.plane import DataPlane
from bridge.server import HAND_OVER, WebServer

log = logging.getLogger(__name__)

LINGER_S = 2.0  # while handing over: for clients to send once more on a connection, and be told of its end
LOOK_S = 0.05  # how often it is looked whether requests are still open


class Drain:
    """Made in the running loop. `install` puts it before the server's own SIGTERM handler."""

    def __init__(self, plane: DataPlane, timeout_s: float) -> None:
        self._plane = plane
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._servers: object = None

    def install(self) -> None:
        """The server goes on listening meanwhile: load balancers read from /readyz that it is going, and a
        client that still comes gets a 503 and no refused connection."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may install handlers; a test's server thread stops otherwise
        self._servers = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(HAND_OVER, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._hand_over if number == HAND_OVER else self._begin)

    def _begin(self) -> None:
        if self._plane.draining:
            self._hurry.set()  # asked a second time: no more waiting
        self._plane.draining = True
        if self._task is None:
            self._task = asyncio.ensure_future(self._end())

    def _hand_over(self) -> None:
        server = getattr(self._servers, "__self__", None)  # the handler is a method of the server
        if isinstance(server, WebServer) and self._task is None:
            server.stop_listening()
            self._plane.leaving = True
            self._task = asyncio.ensure_future(self._linger())

    async def _linger(self) -> None:
        await asyncio.sleep(LINGER_S)
        await self._end()

    async def _end(self) -> None:
        await self._until_ended()
        if self._plane.clients:
            log.warning("%d requests are cut off: this process ends now", len(self._plane.clients))
        for client in list(self._plane.clients):
            client.leave(DRAINING)
        self._pass_on()

    async def _until_ended(self) -> None:
        """Until no request is open, the time is over, or somebody is in a hurry."""
        end = self._loop.time() + self._timeout_s
        while self._plane.clients and self._loop.time() < end:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._hurry.wait()
                    return

    def _pass_on(self) -> None:
        """The server's own handler, whichever server it is."""
        if callable(self._servers):
            self._servers(signal.SIGTERM, None)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

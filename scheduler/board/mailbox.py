"""Messages from Redis: seats and refusals for this process, and what wakes the scheduler.

Publish/subscribe forgets what was said while nobody listened; whoever waits also asks now and then.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

AGAIN_S = 0.5  # between attempts to listen again
KEEPALIVE = {  # a peer that vanished without a word is noticed after half a minute
    socket.TCP_KEEPIDLE: 15,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}


def listening_client(url: str) -> Redis:
    """A client that may wait for ever (redis-py 8 gives up after 5 s by default)."""
    local = url.startswith("unix")
    alive: Any = {} if local else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    client: Redis = Redis.from_url(
        url, socket_timeout=None, retry=Retry(NoBackoff(), 0), health_check_interval=0, **alive
    )
    return client


class Mailbox:
    """Listens on channels: `deliver(channel, data)` per message, `heard(channel)` at each (re)connection."""

    def __init__(
        self, client: Redis, deliver: Callable[[str, bytes], None], heard: Callable[[str], None]
    ) -> None:
        self._client = client
        self._deliver = deliver
        self._heard = heard
        self._channels: set[str] = set()
        self._listener: asyncio.Task[None] | None = None

    def listen(self, channel: str) -> None:
        """Listen on the channel from now on; a few channels in a process's life."""
        if channel not in self._channels:
            self._channels.add(channel)
            self.restart()

    def restart(self) -> None:
        """Listen on a new connection: the old one may hang on a server that is gone."""
        if self._listener is not None:
            self._listener.cancel()
        if self._channels:
            self._listener = asyncio.create_task(self._run(), name="board-mailbox")

    async def _run(self) -> None:
        while True:
            pubsub = self._client.pubsub()
            try:
                await pubsub.subscribe(*self._channels)
                async for message in pubsub.listen():
                    self._take(message)
            except (RedisError, OSError) as error:
                log.info("the board's messages stopped, listening again: %s", error)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]
            await asyncio.sleep(AGAIN_S)

    def _take(self, message: dict[str, object]) -> None:
        name, data = message["channel"], message["data"]
        channel = name.decode() if isinstance(name, bytes) else str(name)
        if message["type"] == "subscribe":
            self._heard(channel)
        elif message["type"] == "message" and isinstance(data, bytes):
            self._deliver(channel, data)

    async def aclose(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._client.aclose()

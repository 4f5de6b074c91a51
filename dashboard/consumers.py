"""/ws/live: a whole snapshot each second to whoever has the live page open; no work while nobody has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from dashboard.live import SNAPSHOTS, may_watch

EVERY_S = 1.0
RECHECK_S = 30.0  # someone who was signed out or lost the right stops seeing within this
NOT_ALLOWED = 4403


class LiveConsumer(AsyncWebsocketConsumer):
    """It takes no messages: a page that is hidden closes its socket."""

    _sending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.accept()
        if await self._may():
            self._sending = asyncio.create_task(self._send_snapshots())
        else:  # closed after the acceptance, or the browser would not be told the code
            await self.close(code=NOT_ALLOWED)

    async def disconnect(self, code: int) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """See the class."""

    async def _may(self) -> bool:
        user: Any = await get_user(self.scope)
        allowed: bool = await database_sync_to_async(may_watch)(user)
        return allowed

    async def _send_snapshots(self) -> None:
        checked = time.monotonic()
        while True:
            if time.monotonic() - checked > RECHECK_S:
                checked = time.monotonic()
                if not await self._may():
                    await self.close(code=NOT_ALLOWED)
                    return
            await self.send(text_data=json.dumps(await SNAPSHOTS.newest()))
            await asyncio.sleep(EVERY_S)

"""Who leads: one scheduler acts, the others stand by. Its fencing number goes with all it publishes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from scheduler.board.interface import Board, BoardDown
from scheduler.residency.pace import Pace

log = logging.getLogger(__name__)


class Deposed(RuntimeError):
    """Another scheduler leads, or the board cannot say who does: nothing may be changed on a node now."""


class Lead:
    """`epoch` is the fencing number while this one leads, else None."""

    def __init__(
        self,
        board: Board,
        holder: str,
        pace: Pace,
        *,
        on_gain: Callable[[], Awaitable[None]],
        on_loss: Callable[[], Awaitable[None]],
    ) -> None:
        self.holder = holder
        self.epoch: int | None = None
        self._board = board
        self._pace = pace
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._held: int | None = None  # the number last granted; kept while the board is away
        self._away = False
        self.stands_by = False  # the board said that another leads

    async def keep(self) -> None:
        """Take the lead when it is free and renew it; runs until it is cancelled."""
        while True:
            await self.renew()
            await asyncio.sleep(self._pace.standby_s if self.epoch is None else self._pace.renew_s)

    async def renew(self) -> int | None:
        """Ask the board once. While the board is away nothing is begun, but what runs on a node may end."""
        try:
            epoch = await self._board.lead(self.holder)
        except BoardDown as error:
            if not self._away:
                log.warning("The board is away, nothing is loaded or evicted until it is back: %s", error)
            self._away, self.epoch = True, None
            return None
        self._away = False
        await self._enter(epoch)
        return epoch

    async def confirm(self) -> None:
        """Before a command to a node: raises Deposed unless this one still leads with the same number."""
        before = self.epoch
        if before is None or await self.renew() != before:
            raise Deposed("This scheduler does not lead any more.")

    async def lose(self) -> None:
        """The board refused what we published: another leads since."""
        await self._enter(None)

    async def resign(self) -> None:
        """Let another one lead at once."""
        if self.epoch is None:
            return
        self.epoch = self._held = None
        try:
            await self._board.resign(self.holder)
        except BoardDown:
            log.info("The board is away; the lead ends with its lease.")

    async def _enter(self, epoch: int | None) -> None:
        before, self._held, self.epoch = self._held, epoch, epoch
        self.stands_by = epoch is None
        if before == epoch:
            return
        if epoch is None:
            log.warning("This scheduler (%s) leads no more.", self.holder)
            await self._on_loss()
        else:
            log.info("This scheduler (%s) leads, epoch %d.", self.holder, epoch)
            await self._on_gain()

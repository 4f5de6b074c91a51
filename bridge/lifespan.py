"""Where the parts of one web process are put together, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from bridge import catalogue, keyring, plane, tracing
from bridge.accounting import money
from bridge.accounting.accountant import Accountant
from bridge.cancelling import Asked, Cancelling
from bridge.drain import Drain
from bridge.env import VALUES as ENV
from bridge.purse import EMPTY, Purse
from bridge.snapshots import Keeper, NotLoaded
from bridge.transport import NodeTransport
from bridge.usage.budgets import spent_so_far
from bridge.usage.outbox import Outbox
from bridge.usage.writer import UsageWriter
from scheduler.board import current
from scheduler.board.make import make_board
from scheduler.worker import Worker

log = logging.getLogger(__name__)

# How long the event loop waits for the interpreter when a thread (a page of the admin, the usage writer) is
# at work as it wakes. Python's own 5 ms would be seen in every stream; docs/performance.md has the figures.
SWITCH_S = 0.0005


class WebProcess:
    """The data plane, what feeds it, and in single mode the scheduler as a task beside it."""

    def __init__(self) -> None:
        self.keys = keyring.KeyRingKeeper()
        self.catalogue = catalogue.keeper()
        self.outbox = Outbox(Path(settings.DATA_DIR) / "outbox")
        self.writer = UsageWriter(self.outbox)
        self.accountant = Accountant()
        self.money = money.keeper()
        self.board = make_board()
        self.worker = Worker(self.board) if runs_scheduler() else None
        self.plane = plane.DataPlane(
            keys=self.keys,
            catalogue=self.catalogue,
            board=self.board,
            transport=NodeTransport(),
            outbox=self.outbox,
        )
        self.plane.forgotten = self._seed_budgets
        self.plane.tracing = tracing.make()
        self.cancelling: Keeper[Asked] | None = None
        self.plane.purse = self._purse

    async def start(self) -> None:
        """Ready to serve when it returns; a database that is away delays nothing and is asked again."""
        sys.setswitchinterval(SWITCH_S)
        await asyncio.to_thread(self._import_orphans)
        for keeper in (self.keys, self.catalogue, self.money):
            await asyncio.to_thread(_first_read, keeper)
            keeper.start()
        self.writer.start()
        self.accountant.start()
        await self._seed_budgets()
        self.plane.start()
        plane.install(self.plane)
        current.install(self.board)
        self.cancelling = Cancelling(self.plane).keeper
        self.cancelling.start()
        Drain(self.plane, ENV["BRIDGE_DRAIN_TIMEOUT"]).install()
        if self.worker is not None:
            await self.worker.start()
            self.worker.failed.add_done_callback(_end_visibly)

    async def stop(self) -> None:
        """After the last answer: settle, write what the outbox holds, let go of everything."""
        self.plane.draining = True
        if self.worker is not None:
            await self.worker.stop()
        await self.plane.stop()
        for keeper in (self.keys, self.catalogue, self.money, self.cancelling):
            if keeper is not None:
                await asyncio.to_thread(keeper.stop)
        await asyncio.to_thread(self.writer.stop)
        if self.plane.tracing is not None:
            await asyncio.to_thread(self.plane.tracing.stop)
        await asyncio.to_thread(self.accountant.stop)
        plane.install(None)
        current.install(None)

    def not_ready(self) -> list[str]:
        """Why no traffic should come here now; empty when it should."""
        reasons = []
        if self.plane.draining or self.plane.leaving:
            reasons.append("draining: this process is being stopped")
        if self.keys.age_s is None:
            reasons.append("keys: not read yet; is the database reachable?")
        if self.catalogue.age_s is None:
            reasons.append("catalogue: not read yet; is the database reachable?")
        if self.worker is not None and (why := self.worker.not_ready()):
            reasons.append(f"scheduler: {why}")
        return reasons

    def _purse(self) -> Purse:
        """Before its first reading nothing counts as spent: a database that is away refuses nobody."""
        try:
            return self.money.value
        except NotLoaded:
            return EMPTY

    def _import_orphans(self) -> None:
        """Records of a process that was killed come first: budgets are counted from them."""
        try:
            self.writer.drain()
        except DatabaseError as error:
            log.warning("usage: the database is away (%s); records wait in the outbox", error)

    async def _seed_budgets(self) -> None:
        try:
            grants = list(self.keys.current.grants.values())
            totals = await asyncio.to_thread(spent_so_far, grants)
        except DatabaseError as error:
            log.warning("budgets start at zero until the database answers: %s", error)
            return
        for account, budget, tokens in totals:
            await self.board.spent(account, budget, tokens)


def _end_visibly(failed: asyncio.Future[None]) -> None:
    """A scheduler that cannot go on must not leave a process that looks well and loads nothing."""
    if not failed.cancelled() and (error := failed.exception()) is not None:
        log.critical("the scheduler cannot go on (%s); stopping this process", error)
        os.kill(os.getpid(), signal.SIGTERM)


def runs_scheduler() -> bool:
    """In single mode the scheduler is a task of the web process; in a fleet it is `runscheduler`."""
    wish = ENV["BRIDGE_SCHEDULER"]
    return bool(wish == "on" or (wish == "auto" and not ENV["REDIS_URL"]))


def _first_read(keeper: Keeper[Any]) -> None:
    try:
        keeper.refresh()
    except DatabaseError as error:
        log.warning("the %s snapshot cannot be read yet: %s", keeper.name, error)


class Lifespan:
    """Starts the process on the server's lifespan events; on the first request where a server sends none."""

    def __init__(self) -> None:
        self.process: WebProcess | None = None
        self._starting: asyncio.Lock | None = None
        self._begun: asyncio.Task[WebProcess] | None = None

    def begin(self) -> None:
        """Start without waiting for it: where a server sends no lifespan events (daphne), a probe that asks
        whether the process is ready must not be what it waits for."""
        if self.process is None and (self._begun is None or self._begun.done()):
            self._begun = asyncio.ensure_future(self.ensure_started())

    async def ensure_started(self) -> WebProcess:
        if self.process is None:
            self._starting = self._starting or asyncio.Lock()
            async with self._starting:
                if self.process is None:
                    process = WebProcess()
                    await process.start()
                    self.process = process
        return self.process

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.ensure_started()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self.process is not None:
                    await self.process.stop()
                    self.process = None
                await send({"type": "lifespan.shutdown.complete"})
                return

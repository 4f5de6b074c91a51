"""The worker: observe, decide, act. The only thing that loads and evicts.

It runs as a task beside the web server (single mode) or in `manage.py runscheduler`. Several may run; the one
that holds the lead acts. Demand wakes it at once, and so does the end of an action; the tick is a fallback.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import time
from collections.abc import Iterable
from functools import partial

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from scheduler.board.interface import Board, BoardDown, StaleLeader
from scheduler.metrics import FLEET
from scheduler.nodes.client import NodeClient
from scheduler.policy.config import Config
from scheduler.policy.decide import round_of
from scheduler.policy.decisions import Decision, Wait
from scheduler.policy.preemption import call_offs
from scheduler.policy.state import Resident, State
from scheduler.policy.view import View
from scheduler.residency import carry, probing
from scheduler.residency.act import Actions
from scheduler.residency.ahead import Ahead
from scheduler.residency.chores import Chores
from scheduler.residency.configured import configured
from scheduler.residency.fleet import Clock, Fleet, MakeClient
from scheduler.residency.lead import Deposed, Lead
from scheduler.residency.likely import Likely
from scheduler.residency.means import Means
from scheduler.residency.operators import Operators
from scheduler.residency.pace import Pace
from scheduler.residency.past import Past
from scheduler.residency.picture import picture
from scheduler.residency.publication import published
from scheduler.residency.records import DatabaseRecorder, NodeShows, Recorder
from scheduler.residency.sampling import Beside, Sampling, samples
from scheduler.residency.scene import Shown
from scheduler.residency.source import DatabaseSource, Source
from scheduler.residency.supervise import Supervisor
from scheduler.residency.warming import Warming
from scheduler.residency.watch import Watch

log = logging.getLogger(__name__)

BREATH_S = 0.005  # between rounds: a burst of requests is decided on together


class Worker:
    """`start` and `stop` belong to one event loop; `failed` ends when the worker cannot go on."""

    def __init__(
        self,
        board: Board,
        *,
        holder: str = "",
        pace: Pace | None = None,
        config: Config | None = None,
        clock: Clock = time.time,
        source: Source | None = None,
        recorder: Recorder | None = None,
        make_client: MakeClient = NodeClient,
    ) -> None:
        self.holder = holder or f"scheduler-{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self.settled = asyncio.Event()  # the first round was carried out and published
        self._board = board
        self._pace = pace = pace or Pace(
            sync_s=settings.SYNC_INTERVAL_S, load_floor_s=settings.LOAD_TIMEOUT_S
        )
        self._config = config = config or configured()
        self._source = source or DatabaseSource()
        self._recorder = recorder or DatabaseRecorder()
        self.fleet = Fleet(pace=pace, clock=clock, recorder=self._recorder, make_client=make_client)
        self.lead = Lead(board, self.holder, pace, on_gain=self._gained, on_loss=self._lost)
        self._wake = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._shown = Shown()
        self._sampling = Sampling()
        self._next_s = self._pace.tick_s  # until the next round, should nothing wake it before
        self._watch = Watch(self.fleet, leads=self._leads, changed=self._wake.set, renew=self._renew)
        self._means = Means(
            fleet=self.fleet,
            board=board,
            lead=self.lead,
            config=config,
            publish=self.publish,
            wake=self._wake.set,
            look=self._watch.look,
        )
        self.actions = Actions(self._means)
        self.ahead = Ahead(self.fleet, config, wake=self._wake.set)
        self.warming = Warming(self._means, self._source)
        self._past_wanted = asyncio.Event()
        self._past: Past | None = None  # read, and not taken over yet
        self.operators = Operators(self.fleet, self._source, wake=self._wake.set)
        self._chores = Chores(
            self.fleet,
            self._source,
            self.operators,
            self.warming,
            Likely(self.fleet, self._source, self.ahead),
            leads=self._leads,
            changed=self._rows_changed,
        )
        self._supervisor: Supervisor | None = None

    # ---- life

    async def start(self) -> None:
        """Begin to work; returns at once. `settled` is set after the first round as leader."""
        self._recorder.start()
        self._supervisor = Supervisor()
        own = {
            "lead": self.lead.keep,
            "demand": self._follow_demand,
            "arrivals": self._follow_arrivals,
            "past": self._read_past,
            "rounds": self._rounds,
        }
        for name, work in (own | self._chores.loops()).items():
            self._supervisor.run(name, work)

    async def stop(self) -> None:
        """End: running actions get a moment, the lead is free at once, what is to be written is written."""
        await self.warming.stop()
        await self.actions.stop(self._pace.stop_s)
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        await self.lead.resign()
        FLEET.show(None)
        await asyncio.to_thread(self._recorder.stop)
        await self.fleet.aclose()
        await self._source.aclose()

    def not_ready(self) -> str:
        """Why nothing would be loaded now; empty when it would, here or by the scheduler that leads."""
        if self._supervisor is None:
            return "it does not run"
        if self._supervisor.failed.done():
            return "it ended and cannot go on; the log says why"
        if not self.fleet.rows_read:
            return "it has not read its rows yet; is the database reachable?"
        if not self.fleet.ready:
            return "it has not looked at every node yet"
        return "" if self.settled.is_set() or self.lead.stands_by else "it has not published yet"

    def alive(self) -> list[str]:
        """Names of the parts that run."""
        return self._supervisor.alive() if self._supervisor is not None else []

    @property
    def failed(self) -> asyncio.Future[None]:
        """Raises supervise.Fatal when a part of the worker cannot be kept alive."""
        assert self._supervisor is not None, "the worker is not started"
        return self._supervisor.failed

    # ---- side tasks

    def _rows_changed(self) -> None:
        """One watch for each node."""
        if self._supervisor is not None:
            for name in self.fleet.clients:
                self._supervisor.run(f"watch {name}", partial(self._watch.node, name), ends=True)
        self.ahead.register(self.fleet.rows.workflows)
        self._wake.set()

    async def _follow_arrivals(self) -> None:
        """Between rounds too: a prefetch is worth most when it begins with the request that announces it."""
        while True:
            with contextlib.suppress(BoardDown):
                if self._leads() and self.fleet.ready:
                    self.ahead.take(await self._board.arrivals())
            await asyncio.sleep(self._pace.arrivals_s)

    async def _read_past(self) -> None:
        """After the lead was gained; demand is served meanwhile."""
        while True:
            await self._past_wanted.wait()
            try:
                known = await self._source.past(self.ahead.make, self.fleet.rows.workflows)
            except (DatabaseError, InterfaceError) as error:
                log.warning("The requests on record cannot be read yet: %s", str(error).strip())
                await asyncio.sleep(self._pace.past_s)
                continue
            self._past_wanted.clear()
            self._past = known
            self._wake.set()

    async def _follow_demand(self) -> None:
        while True:
            try:
                if await self._board.wait_for_demand(self._pace.tick_s):
                    self._wake.set()
            except BoardDown:
                await asyncio.sleep(self._pace.standby_s)

    async def _rounds(self) -> None:
        while True:
            # Not asyncio.wait_for: before Python 3.12 it can swallow the cancellation that stops us.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._pace.tick_s, self._next_s)):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.round()
            except (BoardDown, Deposed) as error:
                log.info("This round is left out: %s", error)
            await asyncio.sleep(BREATH_S)

    # ---- a round

    async def round(self) -> None:
        """Observe what the board knows, decide, begin to act, publish."""
        if not self._leads() or self._supervisor is None or not self.fleet.ready:
            return
        fleet, board = self.fleet, self._board
        if self._past is not None:  # not sooner: what is resident says what became of prefetches
            self.ahead.remember(self._past)
            self._past = None
        lines, loads = await board.demand(), await board.loads()
        fleet.book.note_loads(loads)
        self.ahead.take(await board.arrivals())
        fleet.learning.watch(loads, lines, self.ahead.came(), fleet.clock())
        for failures in (fleet.failures, fleet.too_large):
            failures.forget(fleet.clock())
        state = fleet.state(lines, self.operators.wishes(), self.ahead.forecast)
        view = View(state, fleet.clock(), self._config)
        decisions = round_of(view)
        self._next_s = _next_s(decisions, fleet.clock())
        carry.call_off(self._means, self.actions, self.ahead, call_offs(view, decisions))
        proposed = self.ahead.propose(view)
        await carry.carry_out(self._means, self.actions, state, decisions)
        carry.prefetch(self.actions, self.ahead, proposed)
        self.warming.look(view, [*decisions, *proposed])
        self._probe(state)
        self.operators.settle()
        await self.publish()
        if FLEET.due():
            FLEET.show(picture(state, fleet.clock(), self._config))
        self._sample(state)
        self.settled.set()

    def _sample(self, state: State) -> None:
        """Once a minute, what lies in VRAM, for reports."""
        fleet, now = self.fleet, self.fleet.clock()
        if self._sampling.due(now):
            teams = {policy.name: policy.team for policy in fleet.rows.policies}
            beside = Beside(teams=teams, readings=fleet.readings, demanded=fleet.learning.demanded())
            for sample in samples(state, now, self._config, beside):
                self._recorder.put(sample)

    def _probe(self, state: State) -> None:
        """Nodes whose quarantine is over are tried."""
        now = self.fleet.clock()
        for name in probing.due(self.fleet.sights.values(), now):
            decision = probing.candidate(state, state.nodes[name], now, self._config)
            if decision is not None:
                self.actions.probe(decision)
            elif name not in self.fleet.busy:
                self.fleet.sights[name].try_again()

    async def publish(self) -> None:
        """Show the board what is resident. Raises Deposed when another scheduler leads, and BoardDown."""
        async with self._publishing:
            epoch = self.lead.epoch
            if epoch is None:
                raise Deposed("This scheduler does not lead now.")
            loadable = self.fleet.loadable(self._config)
            residents = published(self.fleet)
            try:
                await self._board.publish(residents, loadable=loadable, epoch=epoch)
            except StaleLeader as error:
                await self.lead.lose()
                raise Deposed(str(error)) from error
            view = View(self.fleet.state(()), self.fleet.clock(), self._config)
            for name, scene in self._shown.changed(view).items():
                self._recorder.put(NodeShows(node=name, scene=scene))

    # ---- the lead

    def _renew(self, resident: Resident) -> None:
        self.actions.renew(resident)

    def _leads(self) -> bool:
        return self.lead.epoch is not None

    async def _gained(self) -> None:
        with contextlib.suppress(BoardDown):
            self.fleet.book.inherit(await self._board.residents())
        self._chores.forget()
        self.ahead.gained()
        self._past_wanted.set()
        self._watch.tell()
        self._wake.set()

    async def _lost(self) -> None:
        FLEET.show(None)
        self._shown.forget()
        self.ahead.lost()
        self.warming.cancel()
        self._past = None
        self.actions.cancel()
        self.operators.forget()


def _next_s(decisions: Iterable[Decision], now: float) -> float:
    """Seconds until the first line that waits wants to be looked at again."""
    moments = [d.until for d in decisions if isinstance(d, Wait) and d.until is not None]
    return max(min(moments, default=math.inf) - now, BREATH_S)

"""A board that goes on while Redis is away: warm traffic from the last residents, limits by process.

1. Up: everything is the Redis board's. Each renewal also notes the residents and how many bridges there are.
2. Redis goes away: a memory board takes over with those residents, this process's share of their slots (all
   of them divided by the bridges, at least one) and the tickets that this process holds. Nobody leads there,
   so what is not resident is refused with `no_scheduler`. Each process counts the limits of a key for itself;
   budgets go on from what is known to be used.
3. Redis is back: what this process holds now is told to Redis, what ended meanwhile is settled there, and
   those who wait go on waiting there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from scheduler.board.interface import (
    Arrival,
    BoardDown,
    Budget,
    InFlight,
    Line,
    Load,
    Place,
    Reason,
    Refusal,
    Resident,
    Seat,
    Ticket,
)
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard

log = logging.getLogger(__name__)


class FallbackBoard:
    """See scheduler.board.interface.Board. What the scheduler asks still raises BoardDown."""

    def __init__(self, primary: RedisBoard, *, clock: Callable[[], float] = time.time) -> None:
        self._primary = primary
        self._clock = clock
        self._local: MemoryBoard | None = None  # not None: Redis is away
        self._residents: list[Resident] = []
        self._bridges = 1
        self._seed = False  # Redis was away: its budgets may be lost
        primary.on_down = self._take_over
        primary.on_up = self._give_back

    @property
    def degraded(self) -> bool:
        """Whether this process serves on its own."""
        return self._local is not None

    # -- bridges

    async def admit(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        if self._local is None:
            with suppress(BoardDown):
                return await self._primary.admit(ticket)
        return await self._locally(ticket, moved=False)

    async def move(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        if self._local is None:
            with suppress(BoardDown):
                return await self._primary.move(ticket)
        return await self._locally(ticket, moved=True)

    async def _locally(self, ticket: Ticket, *, moved: bool) -> Seat | Place | Refusal:
        local = self._local
        if local is None:  # one refused command, not an absence: there is nobody to stand in
            raise BoardDown("Redis refused the step; its log says why.")
        for budget in ticket.limits.budgets:
            await local.spent(ticket.key, budget, self._primary.floor(ticket.key, budget))
        answer = await (local.move(ticket) if moved else local.admit(ticket))
        self._hold(ticket, answer)
        return answer

    def _hold(self, ticket: Ticket, answer: Seat | Place | Refusal | None) -> None:
        """What Redis is told when it is back."""
        if isinstance(answer, Refusal):
            self._primary.held.pop(ticket.id)
        else:
            seat = answer if isinstance(answer, Seat) else None
            self._primary.held.adopt(ticket, self._clock(), seat)

    async def wait(self, ticket: str, timeout_s: float) -> Seat | Refusal | None:
        """See Board."""
        until = time.monotonic() + timeout_s
        while True:
            local = self._local
            left = max(0.0, until - time.monotonic())
            if local is None:
                try:
                    return await self._primary.wait(ticket, left)
                except BoardDown:
                    if self._local is None:
                        raise
                    continue
            held = self._primary.held.get(ticket)
            answer = await local.wait(ticket, left)
            if local is not self._local:
                continue  # Redis came back meanwhile, and took the ticket over
            if held is not None and answer is not None:
                self._hold(held.ticket, answer)
            return answer

    async def position(self, ticket: str) -> Place | None:
        """See Board."""
        return await (self._local or self._primary).position(ticket)

    async def settle(self, ticket: str, tokens: int | None) -> None:
        """See Board."""
        if self._local is not None:
            await self._local.settle(ticket, tokens)
        await self._primary.settle(ticket, tokens)

    async def renew(self, holder: str) -> bool:
        """See Board."""
        if self._local is not None:
            await self._local.renew(holder)
            return True
        try:
            known = await self._primary.renew(holder)
            self._residents = await self._primary.residents()
            self._bridges = max(1, await self._primary.holders())
        except BoardDown:
            return True
        seed, self._seed = self._seed, False
        return known and not seed

    async def spent(self, key: str, budget: Budget, tokens: int) -> None:
        """See Board. Remembered while Redis is away."""
        with suppress(BoardDown):
            await self._primary.spent(key, budget, tokens)

    async def residents(self) -> list[Resident]:
        """See Board; while Redis is away, what was there last."""
        return list(self._residents) if self._local is not None else await self._primary.residents()

    async def in_flight(self, most: int) -> list[InFlight]:
        """See Board; while Redis is away, those of this process."""
        return await (self._local or self._primary).in_flight(most)

    async def aclose(self) -> None:
        """See Board."""
        if self._local is not None:
            self._local.close()
        await self._primary.aclose()

    # -- scheduler: there is no deciding without the real board

    async def lead(self, holder: str) -> int | None:
        """See Board."""
        return await self._primary.lead(holder)

    async def resign(self, holder: str) -> None:
        """See Board."""
        await self._primary.resign(holder)

    async def publish(
        self, residents: Sequence[Resident], *, loadable: Mapping[str, float | None], epoch: int
    ) -> None:
        """See Board."""
        await self._primary.publish(residents, loadable=loadable, epoch=epoch)

    async def refuse(self, model: str, reason: Reason, detail: str, *, num_ctx_over: int = 0) -> int:
        """See Board."""
        return await self._primary.refuse(model, reason, detail, num_ctx_over=num_ctx_over)

    async def demand(self) -> list[Line]:
        """See Board."""
        return await self._primary.demand()

    async def loads(self) -> list[Load]:
        """See Board."""
        return await self._primary.loads()

    async def arrivals(self) -> list[Arrival]:
        """See Board."""
        return await self._primary.arrivals()

    async def wait_for_demand(self, timeout_s: float) -> bool:
        """See Board."""
        return await self._primary.wait_for_demand(timeout_s)

    # -- taking over and giving back, each in one step between two awaits

    def _take_over(self) -> None:
        local = self._local = MemoryBoard(self._primary.bounds, clock=self._clock)
        local.show([replace(each, slots=self._share(each)) for each in self._residents])
        held = [
            each for each in self._primary.held if each.answered and not isinstance(each.outcome, Refusal)
        ]
        for each in sorted(held, key=lambda h: (h.outcome is None, h.since)):  # those who sit come first
            seat = each.outcome if isinstance(each.outcome, Seat) else None
            answer = local.adopt(each.ticket, seat)
            if isinstance(answer, Seat):
                each.outcome = answer
        log.warning(
            "serving %d residents without Redis, with a share of their slots; %d tickets taken over",
            len(self._residents),
            len(held),
        )

    def _share(self, resident: Resident) -> int:
        return max(1, resident.slots // self._bridges)

    def _give_back(self) -> None:
        local, self._local = self._local, None
        if local is None:
            return
        self._seed = True
        for ticket, outcome in local.standing():
            held = self._primary.held.ask(ticket, self._clock())
            held.ticket, held.answered, held.outcome = ticket, True, outcome
        local.close()

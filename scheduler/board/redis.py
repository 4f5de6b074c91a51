"""The board of a fleet, in Redis or Valkey. Every step is one Lua function there, so every step is atomic.

Admitting is one round trip. Settling is sent with what else is there and waits for nothing. Seats handed to
those who wait are announced to the inbox of their process; whoever waits also asks once a second.

This process remembers what it holds. After a loss of data, a lease that ran out or a Redis that was away it
tells Redis exactly that (`restore`), so that Redis is right again whatever it remembers. All commands go
through one conveyor in order, so what is remembered here and what Redis is told never cross.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from scheduler.board import refusals, wire
from scheduler.board.conveyor import Answer, Conveyor, command_client
from scheduler.board.held import Held, HeldTickets
from scheduler.board.interface import (
    Arrival,
    BoardDown,
    Bounds,
    Budget,
    InFlight,
    Line,
    Load,
    Place,
    Reason,
    Refusal,
    Resident,
    Seat,
    StaleLeader,
    Ticket,
)
from scheduler.board.mailbox import Mailbox, listening_client
from scheduler.board.settling import Settling

TIMEOUT_S = 0.5  # of a round trip
POLL_S = 1.0  # a seat whose message was lost is found this late


class RedisBoard:
    """See scheduler.board.interface.Board. `clock` replaces the server's in tests.

    Every method may raise BoardDown, except `settle`, which is made up for when Redis is back. `on_down` and
    `on_up` tell a wrapper about it; `on_up` before Redis is told what is `held`.
    """

    def __init__(
        self,
        url: str,
        bounds: Bounds | None = None,
        *,
        namespace: str = "board",
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.bounds = self._bounds = bounds or Bounds()
        self._clock = clock
        self._now = clock or time.time
        self._prefix = f"ollama_bridge:{{{namespace}}}:"
        self._inbox = uuid.uuid4().hex
        self._conveyor = Conveyor(command_client(url), timeout_s, self._went_down, self._came_up)
        self._mailbox = Mailbox(listening_client(url), self._deliver, self._heard)
        self._settling = Settling(self._run, self._now)
        self._strangers: set[str] = set()  # holders that Redis did not know, until they renew
        self._led = False  # somebody leads, or did
        self._holders: set[str] = set()  # those that this process renews: one, but for tests
        self._demand = asyncio.Event()
        self._closed = False
        self.held = HeldTickets()
        self.on_down: Callable[[], None] = _nothing
        self.on_up: Callable[[], None] = _nothing

    @property
    def down(self) -> bool:
        """Whether Redis did not answer lately."""
        return self._conveyor.down

    # -- bridges

    async def admit(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        if self._closed:
            return refusals.closing(ticket.id)
        if "|" in ticket.holder:
            raise ValueError(f"A holder may not contain '|', and {ticket.holder!r} does.")
        self._mailbox.listen(f"{self._prefix}inbox:{self._inbox}")
        return await self._ask("admit", self.held.ask(ticket, self._now()))

    async def move(self, ticket: Ticket) -> Seat | Place | Refusal:
        """See Board."""
        held = self.held.ask(ticket, self._now())
        if isinstance(held.outcome, Refusal):
            self.held.pop(ticket.id)
            return held.outcome
        held.again(ticket)
        return await self._ask("move", held)

    async def _ask(self, operation: str, held: Held) -> Seat | Place | Refusal:
        ticket = held.ticket
        known = held.answered
        try:
            answer = await self._run(operation, wire.encode(self._values(held)))
        except BoardDown:
            if not known:  # whatever Redis has of it ends when this process next says what it holds
                self.held.pop(ticket.id)
            raise
        return self._note(held, json.loads(answer))

    def _note(self, held: Held, values: wire.Values) -> Seat | Place | Refusal:
        """Remember what Redis said. A message may have come before the answer of the admission."""
        ticket = held.ticket
        self._settling.learn(ticket, values)
        answer = wire.answer_of(ticket, values, self._bounds)
        self._led = self._led or not isinstance(answer, Refusal)
        if isinstance(answer, Place):
            held.answered = True
            answer = held.outcome or answer
        else:
            held.end(answer)
        if isinstance(answer, Refusal):
            self.held.pop(ticket.id)
        if values.get("stranger"):
            self._strangers |= {ticket.holder} & self._holders  # at its first contact nothing was lost
            self._restore(ticket.holder)
        return answer

    async def wait(self, ticket: str, timeout_s: float) -> Seat | Refusal | None:
        """See Board."""
        until = time.monotonic() + timeout_s
        while True:
            held = self.held.get(ticket)
            if held is None:
                return refusals.lost(ticket)
            if held.outcome is None:
                await self._listen_for(held, until)
            if isinstance(held.outcome, Refusal):
                self.held.pop(ticket)
            if held.outcome is not None or time.monotonic() >= until:
                return held.outcome

    async def _listen_for(self, held: Held, until: float) -> None:
        """Until a message comes; after POLL_S, at the deadline or at the end of the time, ask."""
        left = min(until - time.monotonic(), POLL_S, held.ticket.deadline - self._now())
        if left > 0:
            held.waiter = held.waiter or asyncio.get_running_loop().create_future()
            done, _ = await asyncio.wait((held.waiter,), timeout=left)
            for waiter in done:
                waiter.result()  # raises BoardDown when Redis went away
        if held.outcome is None:
            await self._look(held)

    async def _look(self, held: Held) -> Place | None:
        ticket = held.ticket
        answer = await self._run("look", ticket.holder, ticket.id)
        if not answer:  # lost with the data or the lease
            self._lost(held)
            return None
        said = wire.answer_of(ticket, json.loads(answer), self._bounds)
        if isinstance(said, Place):
            return said
        if held.outcome is None:
            held.end(said)
        return None

    def _lost(self, held: Held) -> None:
        """Redis does not know a ticket that waits here."""
        ticket = held.ticket
        if held.outcome is not None:
            return
        if ticket.deadline <= self._now():
            held.end(refusals.too_late(ticket.id, self._now() - held.since, 1))
        else:
            self._restore(ticket.holder)

    async def position(self, ticket: str) -> Place | None:
        """See Board."""
        held = self.held.get(ticket)
        return await self._look(held) if held is not None and held.outcome is None else None

    async def settle(self, ticket: str, tokens: int | None) -> None:
        """See Board."""
        held = self.held.pop(ticket)
        if held is None or isinstance(held.outcome, Refusal):
            return
        if held.outcome is None:
            held.end(refusals.lost(ticket))
        self._settling.settle(held.ticket, tokens or 0)

    async def renew(self, holder: str) -> bool:
        """See Board."""
        self._holders.add(holder)
        known = bool(await self._run("renew", holder, str(self._bounds.lease_s)))
        if not known:
            self._restore(holder)
        met = holder in self._strangers
        self._strangers.discard(holder)
        return known and not met

    async def spent(self, key: str, budget: Budget, tokens: int) -> None:
        """See Board."""
        floor = self._settling.known(key, wire.budget_name(budget), tokens)
        await self._run("spent", key, wire.encode(wire.budget_values(budget, floor, self._now())))

    def floor(self, key: str, budget: Budget) -> int:
        """Tokens of a budget that this process knows to be used."""
        return self._settling.floors.get((key, wire.budget_name(budget)), 0)

    # -- scheduler

    async def lead(self, holder: str) -> int | None:
        """See Board."""
        answer = await self._run("lead", holder, str(self._bounds.lead_s))
        return int(answer) if answer else None

    async def resign(self, holder: str) -> None:
        """See Board."""
        await self._run("resign", holder)

    async def publish(
        self, residents: Sequence[Resident], *, loadable: Mapping[str, float | None], epoch: int
    ) -> None:
        """See Board."""
        said = wire.publication(residents, loadable)
        newer = await self._run("publish", str(epoch), said, hashlib.sha256(said.encode()).hexdigest())
        if newer:
            raise StaleLeader(f"Epoch {epoch} publishes, but epoch {int(newer)} leads since.")

    async def refuse(self, model: str, reason: Reason, detail: str, *, num_ctx_over: int = 0) -> int:
        """See Board."""
        return int(await self._run("refuse", model, str(num_ctx_over), reason, detail))

    async def demand(self) -> list[Line]:
        """See Board."""
        lines = [wire.line_of(values) for values in json.loads(await self._run("demand"))]
        return sorted(lines, key=lambda line: (line.since, line.model))

    async def loads(self) -> list[Load]:
        """See Board."""
        return [
            Load(node=node, model=model, in_flight=slots["in_flight"], last_used=float(slots["last_used"]))
            for model, node, slots in await self._shown()
        ]

    async def arrivals(self) -> list[Arrival]:
        """See Board."""
        return [wire.arrival_of(each) for each in await self._run("arrivals")]

    async def wait_for_demand(self, timeout_s: float) -> bool:
        """See Board."""
        self._mailbox.listen(f"{self._prefix}demand")
        try:
            async with asyncio.timeout(timeout_s):
                await self._demand.wait()
        except TimeoutError:
            return False
        if not self._closed:
            self._demand.clear()
        return not self._closed

    # -- everyone

    async def residents(self) -> list[Resident]:
        """See Board."""
        return [wire.resident_of(model, node, slots) for model, node, slots in await self._shown()]

    async def in_flight(self, most: int) -> list[InFlight]:
        """See Board."""
        said = json.loads(await self._run("in_flight", str(most)))
        seen = [wire.in_flight_of(values) for values in said]
        return sorted(seen, key=lambda each: (each.node is not None, each.since if each.node else 0.0))

    async def holders(self) -> int:
        """How many bridges have a lease."""
        return int(await self._conveyor.send("ZCARD", f"{self._prefix}holders"))

    async def aclose(self) -> None:
        """See Board."""
        self._closed = True
        self._demand.set()
        for held in [each for each in self.held if each.outcome is None]:
            self._settling.settle(held.ticket, 0)
            held.end(refusals.closing(held.ticket.id))
        await self._mailbox.aclose()
        await self._conveyor.aclose()

    # -- inside

    def _run(self, operation: str, *args: str) -> asyncio.Future[Answer]:
        clock = repr(self._clock()) if self._clock is not None else ""
        return self._conveyor.run(operation, f"{self._prefix}meta", clock, *args)

    def _values(self, held: Held) -> wire.Values:
        values = wire.ticket_values(
            held.ticket, inbox=self._inbox, bounds=self._bounds, floors=self._settling.floors, now=self._now()
        )
        return values | ({"led": self._bounds.lead_s} if self._led else {})

    async def _shown(self) -> list[tuple[str, str, wire.Values]]:
        """Model, node and values of each published resident."""
        answer = await self._conveyor.send("HGETALL", f"{self._prefix}models")
        items = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        return [
            (model.decode(), node, slots)
            for model, nodes in items
            for node, slots in json.loads(nodes).items()
            if slots["shown"]
        ]

    def _restore(self, holder: str) -> None:
        """Tell Redis what this holder holds, exactly; sent in order with everything else."""
        mine = [each for each in self.held if each.ticket.holder == holder]
        said = {
            "asking": [each.ticket.id for each in mine if not each.answered],
            "held": [
                self._values(each) | wire.held_values(each, self._now())
                for each in mine
                if each.answered and not isinstance(each.outcome, Refusal)
            ],
        }
        self._run("restore", holder, str(self._bounds.lease_s), wire.encode(said))

    def _deliver(self, channel: str, data: bytes) -> None:
        """A message: a seat or a refusal for a ticket of this process, or demand."""
        if channel.endswith(":demand"):
            self._demand.set()
            return
        values = json.loads(data)
        held = self.held.get(values["ticket"])
        if held is None or held.outcome is not None:
            return
        answer = wire.answer_of(held.ticket, values, self._bounds)
        assert not isinstance(answer, Place), "a message brings a seat or a refusal"
        held.end(answer)
        if isinstance(answer, Refusal):
            self._settling.fetched(held.ticket)

    def _heard(self, channel: str) -> None:
        """Listening (again): what was said before was missed, so look once."""
        if not channel.endswith(":demand"):
            for held in [each for each in self.held if each.outcome is None]:
                held.nudge()
        elif not self._conveyor.down:
            look = self._conveyor.send("HLEN", f"{self._prefix}lines")
            look.add_done_callback(self._found_lines)

    def _found_lines(self, look: asyncio.Future[Answer]) -> None:
        if not look.cancelled() and look.exception() is None and look.result():
            self._demand.set()

    def _went_down(self) -> None:
        error = BoardDown("Redis went away while the request waited.")
        for held in self.held:
            held.fail(error)
        self.on_down()

    def _came_up(self) -> None:
        self.on_up()
        self._mailbox.restart()
        self._settling.make_up()
        for holder in sorted(self._holders | {each.ticket.holder for each in self.held}):
            self._restore(holder)


def _nothing() -> None:
    """Nobody wants to know."""

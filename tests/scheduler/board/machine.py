"""Any sequence of steps on a board, beside a plain account of what must be true of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler.board.interface import Board, Bounds, Budget, Limits, Place, Refusal, Seat, Ticket
from scheduler.policy.backpressure import crowding
from tests.scheduler.board.cast import START, Clock, resident, ticket

T = TypeVar("T")
KEYS = ("ann", "bob", "cyd")
MODELS = ("m", "e")
NODES = ("n1", "n2")
HOLDERS = ("bridge-1", "bridge-2")
PARALLEL = 6
BUDGET = Budget(period="total", tokens=20_000, start=0.0, end=float("inf"))
LIMITS = Limits(parallel=PARALLEL, budgets=(BUDGET,))
BOUNDS = Bounds(queue_model=8, queue_total=12)
FAR = START + 1e6


@dataclass
class Open:
    """A ticket that the board admitted and that has not ended."""

    ticket: Ticket
    seat: Seat | None = None


class BoardMachine(RuleBasedStateMachine):
    """Invariants 1, 2, 5 and 6 of the design, as far as they are the board's."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.board = self.make_board()
        self.open: dict[str, Open] = {}
        self.ended: set[str] = set()
        self.used: Counter[str] = Counter()
        self.shown = {("n1", "m"): resident(slots=1)}
        self.ceiling: dict[tuple[str, str], int] = {}
        self.do(self.publish_now())

    def make_board(self) -> Board:
        raise NotImplementedError

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def publish_now(self) -> None:
        epoch = await self.board.lead("scheduler-1")
        assert epoch is not None
        loadable = dict.fromkeys(MODELS)
        await self.board.publish(list(self.shown.values()), loadable=loadable, epoch=epoch)

    def seats(self) -> Counter[tuple[str, str]]:
        taken = [each.seat for each in self.open.values() if each.seat is not None]
        return Counter((seat.node, seat.model) for seat in taken)

    def reserved(self, key: str) -> int:
        return sum(each.ticket.tokens for each in self.open.values() if each.ticket.key == key)

    def note(self, asked: Ticket, answer: Seat | Place | Refusal) -> None:
        if isinstance(answer, Refusal):
            self.open.pop(asked.id, None)
            self.ended.add(asked.id)
            return
        seat = answer if isinstance(answer, Seat) else None
        self.open[asked.id] = Open(asked, seat)
        if seat is not None:
            shown = self.shown[seat.node, seat.model]
            assert shown.accepting
            assert asked.num_ctx <= shown.num_ctx == seat.num_ctx
            assert seat.node not in asked.avoid

    async def collect(self) -> None:
        """Fetch the seats and refusals that came to those who wait."""
        for each in [e for e in self.open.values() if e.seat is None]:
            answer = await self.board.wait(each.ticket.id, 0.0)
            if answer is not None:
                assert answer.ticket == each.ticket.id
                self.note(each.ticket, answer)

    @rule(
        key=st.sampled_from(KEYS),
        model=st.sampled_from(["m", "m", "e"]),
        holder=st.sampled_from(HOLDERS),
        num_ctx=st.sampled_from([1024, 1024, 8192]),
        tokens=st.integers(0, 3000),
        priority=st.integers(0, 2),
        prefer=st.sampled_from([None, *NODES]),
        avoid=st.sampled_from([(), (), (), ("n1",)]),
    )
    def admit(self, key: str, avoid: tuple[str, ...], **fields: Any) -> None:
        before = [e for e in self.open.values() if e.ticket.key == key]
        left = BUDGET.tokens - self.used[key] - self.reserved(key)
        asked = ticket(key, deadline=FAR, limits=LIMITS, avoid=frozenset(avoid), **fields)
        answer = self.do(self.board.admit(asked))
        if len(before) >= PARALLEL:
            assert isinstance(answer, Refusal)
            assert answer.reason == "parallel"
        elif asked.tokens > left:
            assert isinstance(answer, Refusal)
            assert answer.reason == "budget"
        elif not isinstance(answer, Seat):
            assert getattr(answer, "reason", None) == self.crowding(asked)
        self.note(asked, answer)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4), holder=st.sampled_from(HOLDERS))
    def admit_plain_ones(self, keys: list[str], holder: str) -> None:
        for key in keys:
            asked = ticket(key, deadline=FAR, limits=LIMITS, holder=holder, num_ctx=1024)
            self.note(asked, self.do(self.board.admit(asked)))

    @rule(data=st.data())
    def settle_a_seat(self, data: st.DataObject) -> None:
        seated = sorted(name for name, each in self.open.items() if each.seat is not None)
        if seated:
            self.end(data.draw(st.sampled_from(seated)), 40)

    def crowding(self, asked: Ticket) -> str | None:
        waits = [e.ticket.model for e in self.open.values() if e.seat is None]
        return crowding(
            waiting=waits.count(asked.model),
            waiting_total=len(waits),
            queue_model=BOUNDS.queue_model,
            queue_total=BOUNDS.queue_total,
            priority=asked.priority,
        )

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.sampled_from([None, 0.0, 0.5, 1.0]))
    def settle(self, data: st.DataObject, share: float | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        self.end(name, None if share is None else int(self.open[name].ticket.tokens * share))

    def end(self, name: str, tokens: int | None) -> None:
        each = self.open.pop(name)
        for _ in range(2):  # idempotent
            self.do(self.board.settle(name, tokens))
        self.used[each.ticket.key] += tokens or 0
        self.ended.add(name)
        self.do(self.collect())

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        each = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        avoid = frozenset({each.seat.node}) if each.seat is not None else frozenset({"n2"})
        values = {name: getattr(each.ticket, name) for name in Ticket.__dataclass_fields__}
        asked = Ticket(**(values | {"avoid": avoid}))
        each.seat = None
        self.note(asked, self.do(self.board.move(asked)))
        self.do(self.collect())

    @rule(
        node=st.sampled_from(NODES),
        model=st.sampled_from(MODELS),
        slots=st.integers(0, 3),
        num_ctx=st.sampled_from([4096, 16384]),
        accepting=st.booleans(),
    )
    def publish(self, node: str, model: str, slots: int, num_ctx: int, accepting: bool) -> None:
        if slots:
            shown = resident(node, model, slots=slots, num_ctx=num_ctx, accepting=accepting)
            self.shown[node, model] = shown
        else:
            self.shown.pop((node, model), None)
        self.do(self.publish_now())
        self.do(self.collect())

    @rule(model=st.sampled_from(MODELS), over=st.sampled_from([0, 4096]))
    def refuse(self, model: str, over: int) -> None:
        waits = [e for e in self.open.values() if e.seat is None and e.ticket.model == model]
        hit = [e for e in waits if e.ticket.num_ctx > over]
        assert self.do(self.board.refuse(model, "no_room", "Too large.", num_ctx_over=over)) == len(hit)
        self.do(self.collect())
        assert all(e.ticket.id in self.ended for e in hit)

    @rule(seconds=st.integers(1, 40))
    def let_time_pass(self, seconds: int) -> None:
        self.do(self.pass_time(seconds, HOLDERS))

    @rule(holder=st.sampled_from(HOLDERS))
    def kill(self, holder: str) -> None:
        self.do(self.pass_time(8, [each for each in HOLDERS if each != holder]))
        for each in [e for e in self.open.values() if e.ticket.holder == holder]:
            del self.open[each.ticket.id]
            self.ended.add(each.ticket.id)
            self.forget(each.ticket.id)
        self.do(self.collect())

    def forget(self, name: str) -> None:
        """A dead process remembers nothing; a board that lives in it must not either."""

    async def pass_time(self, seconds: int, alive: Any) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            await self.board.lead("scheduler-1")
            for holder in alive:
                await self.board.renew(holder)

    @invariant()
    def in_flight_is_what_was_given_and_never_above_the_slots(self) -> None:
        taken = self.seats()
        loads = {(load.node, load.model): load.in_flight for load in self.do(self.board.loads())}
        assert loads == {place: taken[place] for place in self.shown}
        for place, shown in self.shown.items():
            # A resident may be published with fewer slots than run; then it only empties.
            ceiling = max(shown.slots, min(self.ceiling.get(place, 0), taken[place]))
            assert taken[place] <= ceiling
            self.ceiling[place] = ceiling
        self.ceiling |= {place: count for place, count in taken.items() if place not in self.shown}

    @invariant()
    def lines_hold_exactly_those_who_wait(self) -> None:
        waits = [each.ticket for each in self.open.values() if each.seat is None]
        lines = {line.model: line for line in self.do(self.board.demand())}
        assert {name: line.waiting for name, line in lines.items()} == Counter(t.model for t in waits)
        for name, line in lines.items():
            assert line.keys == Counter(t.key for t in waits if t.model == name)

    @invariant()
    def nobody_waits_beside_a_slot_that_would_take_him(self) -> None:
        taken = self.seats()
        for each in [e for e in self.open.values() if e.seat is None]:
            asked = each.ticket
            for (node, model), shown in self.shown.items():
                fits = model == asked.model and asked.num_ctx <= shown.num_ctx and node not in asked.avoid
                assert not (fits and shown.accepting and taken[node, model] < shown.slots)

    @invariant()
    def limits_hold(self) -> None:
        open_keys = Counter(each.ticket.key for each in self.open.values())
        assert all(count <= PARALLEL for count in open_keys.values())
        assert all(self.used[key] + self.reserved(key) <= BUDGET.tokens for key in KEYS)

    def teardown(self) -> None:
        try:
            self.do(self.end_all())
        finally:
            self.do(self.board.aclose())
            self.do(asyncio.sleep(0))  # transports close in the step after
            self.loop.close()

    async def end_all(self) -> None:
        """Everything returns to zero, and each budget has exactly left what was not used."""
        for each in self.open.values():
            await self.board.settle(each.ticket.id, None)
        assert await self.board.demand() == []
        assert all(load.in_flight == 0 for load in await self.board.loads())
        self.shown = {("n1", "m"): resident(slots=9)}
        await self.publish_now()
        for key in KEYS:
            left = BUDGET.tokens - self.used[key]
            over = await self.board.admit(ticket(key, deadline=FAR, limits=LIMITS, tokens=left + 1))
            assert isinstance(over, Refusal)
            assert over.reason == "budget"
            rest = ticket(key, deadline=FAR, limits=LIMITS, tokens=left)
            assert isinstance(await self.board.admit(rest), Seat)
            await self.board.settle(rest.id, None)

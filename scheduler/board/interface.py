"""The board: the shared state of the running system, behind one interface with two implementations.

Bridges ask it for seats and give them back; the scheduler publishes residents and reads demand.
`scheduler.board.memory` serves one process, `scheduler.board.redis` a fleet; the same tests hold both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Reason = Literal[
    "rate",  # requests per minute of the key
    "tokens",  # tokens per minute of the key
    "parallel",  # the key's requests in flight
    "budget",  # tokens or money of the key's period
    "queue_full",  # the line, or all lines together, are at their bound
    "queue_shed",  # over 80 % of the bound, and this request's priority is among the lowest
    "deadline",  # waited as long as it may
    "no_node",  # no healthy node holds the model
    "no_room",  # the scheduler found that it fits nowhere
    "load_failed",  # the scheduler tried, and the node could not
    "no_scheduler",  # not resident, and nobody there to load it
    "draining",  # this process or node is being stopped
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Tokens that a key may use in a period. `start` and `end` are Unix seconds of the period now running."""

    period: str  # "day", "month" or "total"
    tokens: int
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one key may use; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    budgets: tuple[Budget, ...] = ()


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request that asks to be admitted."""

    id: str  # the request id
    holder: str  # the bridge process that holds it, without '|': its lease frees what it holds when it dies
    key: str  # public id of the API key: the unit of fairness and of limits
    model: str  # catalogue name
    num_ctx: int  # least context, in tokens, that its resident must have
    tokens: int  # reserved: estimated prompt plus most output
    deadline: float  # Unix seconds after which it may not wait
    priority: int = 1  # 0 low, 1 normal, 2 high; a class weighs four times the one below it
    limits: Limits = NO_LIMITS
    avoid: frozenset[str] = frozenset()  # nodes that failed this request already
    prefer: str | None = None  # node that holds its prefix; taken when it has a free slot
    session: str = ""  # hash of the conversation that its app names; for prediction alone, as the next
    next_models: tuple[str, ...] = ()  # catalogue names that its app says to ask for next, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left to the key after this step, for the x-ratelimit-* headers; None where nothing limits."""

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One slot of a resident, held by one request while it generates.

    `load` tells what the request met. cold: no resident that accepts could serve it when it joined its line,
    so it waited for a load. prefetched: it did not, and it is the first on a resident that was loaded ahead
    of demand. warm: everything else, after a wait for a slot too.
    """

    ticket: str
    node: str  # node name
    model: str
    num_ctx: int  # the resident's context in tokens
    options: Mapping[str, object]  # the profile's runner options, sent with every call
    load: Literal["warm", "cold", "prefetched"]
    queued_s: float  # from admission to seat
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a line."""

    ticket: str
    position: int  # 1 is next
    wait_s: float | None  # predicted; None rather than a guess
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    ticket: str
    reason: Reason
    detail: str  # a sentence for the client, with the numbers
    retry_after_s: int | None  # 1 to 60; None where waiting does not help
    allowance: Allowance = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A model loaded on a node, as the scheduler publishes it."""

    node: str
    model: str
    num_ctx: int
    slots: int
    options: Mapping[str, object] = field(default_factory=dict)
    bytes: int = 0  # VRAM it takes
    accepting: bool = True  # False while it drains: seats run out, no new ones are given
    cause: Literal["demand", "prefetch", "pin", "operator", "found"] = "demand"

    @property
    def id(self) -> str:
        return f"{self.node}|{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The demand for one model: who waits for it and since when."""

    model: str
    waiting: int
    since: float  # Unix seconds at which its oldest ticket came
    num_ctx: int  # the largest context asked for
    keys: Mapping[str, int]  # waiting tickets by key, the first 64
    priority: int  # the highest waiting
    avoid: frozenset[str] = frozenset()  # nodes that failed one of its tickets, which may not go there
    wait_s: float | None = None  # predicted for its last ticket; None rather than a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What runs on a resident now."""

    node: str
    model: str
    in_flight: int
    last_used: float  # Unix seconds of the last seat given or settled


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """One admitted request that has not ended: on a node, or at a place in its line."""

    ticket: str
    key: str
    model: str
    since: float  # Unix seconds at which it was admitted
    node: str | None  # None: it waits
    position: int | None = None  # in its line; 1 is next
    wait_s: float | None = None  # predicted from now; None rather than a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One admitted or refused request, for prediction: who asked for what, when."""

    at: float
    key: str
    model: str
    session: str = ""
    next_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Queue bounds and leases; the board is made with them."""

    queue_model: int = 128
    queue_total: int = 512
    lease_s: float = 5.0  # a holder that does not renew within this is dead
    lead_s: float = 3.0  # a leader that does not renew within this is dead; another leads before 5 s are over


class Board(Protocol):
    """All methods are coroutines; in memory they never suspend except `wait` and `wait_for_demand`."""

    # -- bridges
    async def admit(self, ticket: Ticket) -> Seat | Place | Refusal:
        """Check limits and bounds, reserve, and take a free slot or join the line: one atomic step."""

    async def wait(self, ticket: str, timeout_s: float) -> Seat | Refusal | None:
        """The seat or refusal when it comes; None when the time is over and the ticket still waits."""

    async def position(self, ticket: str) -> Place | None:
        """Where a waiting ticket stands now."""

    async def move(self, ticket: Ticket) -> Seat | Place | Refusal:
        """A seat whose node failed before the first byte: give it back and ask again, not charged twice.
        `ticket.avoid` names the nodes to leave out; the place is at the head of the line."""

    async def settle(self, ticket: str, tokens: int | None) -> None:
        """End a ticket wherever it is: slot or place back, the reservation replaced by the real tokens
        (None: nothing was used). Idempotent."""

    async def renew(self, holder: str) -> bool:
        """Keep a bridge's tickets alive; called every second. A silent holder's tickets end by themselves.
        False when the board did not know the holder (it is new, or one of the two was away): seed the
        budgets with `spent` then, since the board may have lost them."""

    async def spent(self, key: str, budget: Budget, tokens: int) -> None:
        """Seed a budget from the records (idempotent: the larger of what is known and this)."""

    # -- scheduler
    async def lead(self, holder: str) -> int | None:
        """Take or renew leadership; the fencing number, or None while another leads."""

    async def resign(self, holder: str) -> None:
        """Give leadership up at once."""

    async def publish(
        self, residents: Sequence[Resident], *, loadable: Mapping[str, float | None], epoch: int
    ) -> None:
        """Replace the residents and give their free slots to who waits. `loadable` maps each model that
        some healthy node holds to the seconds its load is expected to take (None: unknown). Publishing
        from an older epoch than the board has seen raises StaleLeader."""

    async def refuse(self, model: str, reason: Reason, detail: str, *, num_ctx_over: int = 0) -> int:
        """Refuse all that wait for the model with a context above `num_ctx_over`; how many those were."""

    async def demand(self) -> list[Line]:
        """All lines that are not empty, oldest first."""

    async def loads(self) -> list[Load]:
        """In flight per published resident, with when it was used last."""

    async def arrivals(self) -> list[Arrival]:
        """Arrivals since the last call (the newest 10,000)."""

    async def wait_for_demand(self, timeout_s: float) -> bool:
        """True when a ticket joined a line that no resident serves at once, or a draining one ran empty."""

    # -- everyone
    async def residents(self) -> list[Resident]:
        """What is published now."""

    async def in_flight(self, most: int) -> list[InFlight]:
        """Those who wait, by their places, then those who run, oldest first; about `most` of each."""

    async def aclose(self) -> None:
        """Let go of connections and wake whoever waits."""


class StaleLeader(RuntimeError):
    """Another scheduler leads since; what this one publishes no longer counts."""


class BoardDown(ConnectionError):
    """The board cannot be reached."""

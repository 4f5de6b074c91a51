"""A world in which decisions are carried out at once and faults happen on demand: for property tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scheduler.policy.config import GB, Config
from scheduler.policy.decide import decide
from scheduler.policy.decisions import Decision, Drain, Evict, Load, Refuse, Resume
from scheduler.policy.state import Action, Line, Model, Node, Pin, Resident, State, Stats

SERVICE_S = 5.0
CONFIG = Config(margin=0.0, margin_floor=0.0, runner_bytes=0, fit_bytes=0, beside=1.0)


@dataclass
class Ticket:
    at: float
    model: str
    num_ctx: int
    seated_at: float | None = None
    refused: bool = False


@dataclass
class World:
    nodes: dict[str, Node]
    models: dict[str, Model]
    now: float = 1_000_000.0
    residents: dict[tuple[str, str], Resident] = field(default_factory=dict)
    waiting: dict[str, list[Ticket]] = field(default_factory=dict)
    tickets: list[Ticket] = field(default_factory=list)
    ends: list[tuple[float, str, str]] = field(default_factory=list)  # time, node, model of a seat
    loads: dict[str, tuple[float, Load]] = field(default_factory=dict)  # by node: when it is done
    pins: list[Pin] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    reloads: int = 0
    loads_begun: int = 0
    decided: list[Decision] = field(default_factory=list)

    # -- what happens

    def arrive(self, model: str, num_ctx: int = 0) -> Ticket:
        ticket = Ticket(self.now, model, num_ctx)
        self.tickets.append(ticket)
        self.waiting.setdefault(model, []).append(ticket)
        self.settle()
        return ticket

    def advance(self, seconds: float) -> None:
        """Let time pass, every event in its order, the scheduler asked after each and once a second."""
        until = self.now + seconds
        while self.now < until:
            due = min(
                [until, self.now + 1.0, *(e[0] for e in self.ends), *(d for d, _ in self.loads.values())]
            )
            self.now = max(due, self.now)
            self._end_seats()
            self._end_loads()
            self.settle()

    def fail_load(self, node: str) -> None:
        """The load that runs on a node fails; it is not tried there again for a while."""
        if node in self.loads:
            _, load = self.loads.pop(node)
            self.nodes[node].busy_with = None
            self.stats.failures = {**self.stats.failures, (node, load.model): self.now + 20.0}
            self.settle()

    def die(self, node: str) -> None:
        """A node dies with all that it holds; its requests come again."""
        self.nodes[node].healthy = False
        self.nodes[node].busy_with = None
        self.loads.pop(node, None)
        for key in [k for k in self.residents if k[0] == node]:
            del self.residents[key]
        self.ends = [end for end in self.ends if end[1] != node]
        self.settle()

    def come_back(self, node: str) -> None:
        self.nodes[node].healthy = True
        self.settle()

    def _end_seats(self) -> None:
        for end in sorted(e for e in self.ends if e[0] <= self.now):
            self.ends.remove(end)
            resident = self.residents[end[1], end[2]]
            resident.in_flight -= 1
            resident.last_used = self.now

    def _end_loads(self) -> None:
        for node, (done, load) in list(self.loads.items()):
            if done <= self.now:
                del self.loads[node]
                self.nodes[node].busy_with = None
                self.residents[node, load.model] = Resident(
                    node=node,
                    model=load.model,
                    digest=self.models[load.model].digests[node],
                    profile=load.profile,
                    bytes=self.models[load.model].weights_bytes,
                    loaded_at=self.now,
                    last_used=self.now,
                    load_s=load.expected_s,
                )

    # -- the board and the scheduler

    def settle(self) -> None:
        """Seats are given, the scheduler decides, what it decided is carried out; until nothing changes."""
        for _ in range(50):
            self._give_seats()
            decisions = decide(self.state(), self.now, CONFIG)
            self.decided = decisions
            acted = [d for d in decisions if self._carry_out(d)]
            if not acted:
                return
        raise AssertionError(f"the scheduler does not come to rest: {decisions}")

    def state(self) -> State:
        lines = {
            model: Line(
                model=model,
                waiting=len(tickets),
                since=min(t.at for t in tickets),
                num_ctx=max(t.num_ctx for t in tickets),
            )
            for model, tickets in self.waiting.items()
            if tickets
        }
        return State(
            nodes=self.nodes,
            models=self.models,
            residents=self.residents,
            lines=lines,
            pins=self.pins,
            stats=self.stats,
        )

    def _give_seats(self) -> None:
        for tickets in self.waiting.values():
            for ticket in list(tickets):
                seat = next((r for r in self.residents.values() if self._fits(r, ticket)), None)
                if seat is not None:
                    tickets.remove(ticket)
                    ticket.seated_at = self.now
                    seat.in_flight += 1
                    self.ends.append((self.now + SERVICE_S, seat.node, seat.model))

    def _fits(self, resident: Resident, ticket: Ticket) -> bool:
        return (
            resident.model == ticket.model
            and resident.accepting
            and self.nodes[resident.node].healthy
            and resident.in_flight < resident.profile.slots
            and resident.profile.num_ctx >= ticket.num_ctx
        )

    def _carry_out(self, decision: Decision) -> bool:
        match decision:
            case Load():
                self._load(decision)
            case Evict():
                self._evict(decision.node, decision.model)
            case Drain():
                resident = self.residents[decision.node, decision.model]
                assert resident.accepting, "what drains already is not drained again"
                resident.accepting, resident.wanted_by = False, decision.wanted_by
            case Resume():
                resident = self.residents[decision.node, decision.model]
                resident.accepting, resident.wanted_by = True, None
            case Refuse():
                return self._refuse(decision)
            case _:
                return False
        return True

    def _load(self, load: Load) -> None:
        node = self.nodes[load.node]
        assert node.healthy, "a node that does not answer is asked for nothing"
        assert load.node not in self.loads, "one action per node at a time"
        self.loads_begun += 1
        self.reloads += load.model in load.evict
        for victim in load.evict:
            self._evict(load.node, victim, reload=victim == load.model)
        serving = any(r.model == load.model and r.accepting for r in self.residents.values())
        loading = any(other.model == load.model for _, other in self.loads.values())
        assert serving or not loading or load.cause == "replica", "one load per model unless it is a replica"
        done = self.now + load.expected_s
        size = self.models[load.model].weights_bytes
        node.busy_with = Action(kind="load", model=load.model, since=self.now, until=done, bytes=size)
        self.loads[load.node] = (done, load)
        held = sum(r.bytes for r in self.residents.values() if r.node == load.node)
        assert held + size <= node.vram_bytes, "what is reserved fits into the budget"

    def _evict(self, node: str, model: str, *, reload: bool = False) -> None:
        resident = self.residents.pop((node, model))
        assert not resident.in_flight, "nothing busy is evicted"
        assert reload or not self._pinned(resident), "nothing pinned is evicted"

    def _pinned(self, resident: Resident) -> bool:
        """Whether a pin would miss this resident: fewer than it wants remain on its nodes."""
        for pin in self.pins:
            here = pin.nodes is None or resident.node in pin.nodes
            if pin.model == resident.model and here and not self.nodes[resident.node].draining:
                left = [
                    r
                    for r in self.residents.values()
                    if r.model == pin.model and (pin.nodes is None or r.node in pin.nodes)
                ]
                if len(left) < pin.min_replicas:
                    return True
        return False

    def _refuse(self, refusal: Refuse) -> bool:
        tickets = self.waiting.get(refusal.model, [])
        refused = [t for t in tickets if t.num_ctx > refusal.num_ctx_over]
        for ticket in refused:
            ticket.refused = True
            tickets.remove(ticket)
        return bool(refused)


def world(vram_gb: list[float], sizes_gb: list[float], slots: int = 2) -> World:
    """Nodes n0, n1 ... and models m0, m1 ...; every node has every model."""
    nodes = {
        f"n{i}": Node(name=f"n{i}", vram_bytes=int(gb * GB), slots=slots) for i, gb in enumerate(vram_gb)
    }
    models = {
        f"m{i}": Model(
            name=f"m{i}",
            digests=dict.fromkeys(nodes, f"d{i}"),
            weights_bytes=int(gb * GB),
            trained_ctx=32768,
        )
        for i, gb in enumerate(sizes_gb)
    }
    return World(nodes=nodes, models=models)


def digest_changed(w: World, model: str, node: str) -> None:
    """The model was pulled anew on a node."""
    old = w.models[model]
    w.models[model] = replace(old, digests={**old.digests, node: f"{old.digests[node]}'"})
    w.settle()

"""The design's invariants 2 to 5 under random arrivals, loads, failures, pins and deaths of nodes.

The assertions about each decision are in `world`; those about what holds between steps are here.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.policy.state import Pin
from tests.scheduler.policy.world import CONFIG, SERVICE_S, World, digest_changed, world

MODELS = st.integers(0, 4).map(lambda i: f"m{i}")
NODES = st.integers(0, 1).map(lambda i: f"n{i}")


class Scheduling(RuleBasedStateMachine):
    world: World

    @initialize(
        vram=st.lists(st.sampled_from([12.0, 16.0, 24.0, 30.0]), min_size=2, max_size=2),
        sizes=st.lists(st.sampled_from([3.0, 5.0, 8.0, 11.0]), min_size=5, max_size=5),
        slots=st.integers(1, 3),
    )
    def begin(self, vram: list[float], sizes: list[float], slots: int) -> None:
        self.world = world(vram, sizes, slots)

    @rule(model=MODELS, count=st.integers(1, 6))
    def requests_arrive(self, model: str, count: int) -> None:
        for _ in range(count):
            self.world.arrive(model)

    @rule(model=MODELS, num_ctx=st.sampled_from([5000, 9000, 20000, 40000]))
    def a_request_wants_more_context(self, model: str, num_ctx: int) -> None:
        self.world.arrive(model, num_ctx)

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(node=NODES)
    def a_load_fails(self, node: str) -> None:
        self.world.fail_load(node)

    @rule(node=NODES)
    def a_node_dies(self, node: str) -> None:
        self.world.die(node)

    @rule(node=NODES)
    def a_node_comes_back(self, node: str) -> None:
        self.world.come_back(node)

    @rule(node=NODES, seconds=st.sampled_from([0.0, 30.0]))
    def a_node_is_quarantined(self, node: str, seconds: float) -> None:
        self.world.nodes[node].quarantined_until = self.world.now + seconds
        self.world.settle()

    @rule(node=NODES, draining=st.booleans())
    def an_operator_drains_a_node_or_takes_that_back(self, node: str, draining: bool) -> None:
        self.world.nodes[node].draining = draining
        self.world.settle()

    @rule(model=MODELS, node=st.none() | NODES)
    def a_model_is_pinned(self, model: str, node: str | None) -> None:
        if len(self.world.pins) < 2:
            nodes = frozenset((node,)) if node else None
            self.world.pins.append(Pin(model=model, nodes=nodes, name="pin"))
            self.world.settle()

    @rule()
    def a_pin_ends(self) -> None:
        if self.world.pins:
            self.world.pins.pop(0)
            self.world.settle()

    @rule(model=MODELS, node=NODES)
    def a_model_is_pulled_anew(self, model: str, node: str) -> None:
        if (node, model) not in self.world.residents and node not in self.world.loads:
            digest_changed(self.world, model, node)

    @invariant()
    def seats_and_vram_are_within_their_bounds(self) -> None:
        if not hasattr(self, "world"):
            return
        for node in self.world.nodes.values():
            held = [r for r in self.world.residents.values() if r.node == node.name]
            assert all(0 <= r.in_flight <= r.profile.slots for r in held)
            assert sum(r.bytes for r in held) <= node.vram_bytes

    @invariant()
    def a_context_never_shrinks_while_it_is_resident(self) -> None:
        if hasattr(self, "world"):
            for load in (load for _, load in self.world.loads.values() if load.cause == "reload"):
                asked = [t.num_ctx for t in self.world.waiting.get(load.model, [])]
                assert not asked or load.profile.num_ctx >= 8192

    def teardown(self) -> None:
        """Once nodes answer and pins are gone, everybody who waits is soon answered (5)."""
        if not hasattr(self, "world"):
            return
        w = self.world
        w.pins.clear()
        for node in w.nodes.values():
            node.healthy, node.draining, node.quarantined_until = True, False, 0.0
        w.stats.failures = {}
        w.settle()
        # Each of five lines may wait its bound and a quantum for each line before it, then be served in turn.
        waiting = sum(len(tickets) for tickets in w.waiting.values())
        turn = CONFIG.line_bound_s + 8 * CONFIG.quantum_loads + 20.0
        w.advance(len(w.models) * turn + waiting * SERVICE_S)
        left = [t for tickets in w.waiting.values() for t in tickets]
        assert not left, f"{len(left)} still wait: {left[:3]}; last decided: {w.decided}"
        assert all(t.refused or t.seated_at is not None or t in left for t in w.tickets)


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

"""Whatever clients do: VRAM is never overfull, slots never overrun, each request ends exactly once."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.simulator.disturbance import LoadFate
from scheduler.simulator.events import Answered, Cancelled, Finished, Kind, Refused, Segment, Started
from tests.scheduler.simulator.play import FOREVER, GIB, NEW, OLD, Play

ENDINGS = (Answered, Cancelled, Finished, Refused)
MODELS = ("a", "b", "c", "alias", "nomic-embed-text")


class Moods:
    """A disturbance that is steered by the test."""

    def __init__(self) -> None:
        self.end = "ready"

    def load_fate(self, model: str) -> LoadFate:
        return LoadFate(end=self.end)  # type: ignore[arg-type]

    def unload_sticks(self, model: str) -> bool:
        return False


class Conservation(RuleBasedStateMachine):
    @initialize(
        slots=st.integers(1, 3),
        vram=st.sampled_from([0, 8, 24]),
        queue=st.integers(0, 4),
        generation=st.sampled_from([OLD, NEW]),
    )
    def begin(self, slots: int, vram: int, queue: int, generation: object) -> None:
        self.moods = Moods()
        self.play = Play(
            "a=2,b=6,c=30,alias=@a,nomic-embed-text=0.27",
            disturbance=self.moods,
            slots=slots,
            vram=vram * GIB,
            max_queue=queue,
            generation=generation,
            vram_recovery_s=0.5,
            keep_alive_s=20.0,
        )
        self.asked: list[int] = []

    @rule(
        model=st.sampled_from(MODELS),
        tokens=st.integers(0, 80),
        prompt=st.integers(1, 9000),
        num_ctx=st.sampled_from([None, 1024, 8192]),
        keep_alive=st.sampled_from([None, 0.0, 5.0, FOREVER]),
        kind=st.sampled_from([Kind.GENERATE, Kind.GENERATE, Kind.LOAD, Kind.EMBED]),
        truncate=st.booleans(),
    )
    def ask(
        self,
        model: str,
        tokens: int,
        prompt: int,
        num_ctx: int | None,
        keep_alive: float | None,
        kind: Kind,
        truncate: bool,
    ) -> None:
        self.asked.append(
            self.play.ask(
                model,
                tokens=tokens,
                prompt=(Segment(key=prompt % 3, tokens=prompt),),
                options={"num_ctx": num_ctx} if num_ctx else {},
                keep_alive=keep_alive,
                kind=kind,
                truncate=truncate,
            )
        )

    @rule(model=st.sampled_from(MODELS))
    def unload(self, model: str) -> None:
        self.asked.append(self.play.unload(model))

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.play.wait(seconds)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.asked:
            self.play.cancel(data.draw(st.sampled_from(self.asked)))

    @rule(end=st.sampled_from(["ready", "oom"]))
    def change_mood(self, end: str) -> None:
        self.moods.end = end

    @rule()
    def out_of_memory(self) -> None:
        self.play.events += self.play.node.runtime_oom(self.play.now)

    @invariant()
    def vram_is_never_overfull(self) -> None:
        node = self.play.node
        assert 0 <= node.vram_used <= node.config.vram
        assert node.recovering >= 0
        for runner in node.residents():
            assert runner.placement.size_vram <= runner.placement.size

    @invariant()
    def slots_are_never_overrun_and_lines_move(self) -> None:
        for runner in self.play.node.runners.values():
            assert len(runner.running) <= runner.slots
            assert not (runner.waiting and runner.free_slot)
            assert set(runner.running) <= runner.references

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert len(self.play.node.pending) <= self.play.node.config.max_queue
        assert len(self.play.node.runners) <= self.play.node.config.most_loaded

    @invariant()
    def nobody_ends_twice_or_starts_twice(self) -> None:
        events = self.play.events
        assert all(n == 1 for n in Counter(e.request_id for e in events if isinstance(e, ENDINGS)).values())
        assert all(n == 1 for n in Counter(e.request_id for e in events if isinstance(e, Started)).values())

    def teardown(self) -> None:
        """When all who wait for ever have left, everybody has ended and nothing is held."""
        play = self.play
        play.settle(limit=play.now + 5000)
        for request in self.asked:
            play.cancel(request)
        play.settle(limit=play.now + 5000)
        assert {e.request_id for e in play.events if isinstance(e, ENDINGS)} == set(self.asked)
        assert play.node.in_flight == 0
        assert all(runner.idle and not runner.running for runner in play.node.runners.values())


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

"""No line starves (invariant 5), and nothing thrashes: steady traffic for one model, others in between."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduler.policy.world import CONFIG, SERVICE_S, World, world

LOAD_S = 1.5 + 8 / 2.0
QUANTUM_S = CONFIG.quantum_loads * LOAD_S


def flood(w: World, model: str, seconds: int) -> None:
    """More requests for a model than its slots can carry, once a second."""
    for _ in range(seconds):
        w.arrive(model)
        w.arrive(model)
        w.advance(1.0)


def test_a_line_behind_a_flooded_model_is_served_within_its_bound_and_a_load() -> None:
    w = world([12.0], [8.0, 8.0])
    flood(w, "m0", 100)
    late = w.arrive("m1")
    flood(w, "m0", 90)
    assert late.seated_at is not None
    assert late.seated_at - late.at <= CONFIG.line_bound_s + SERVICE_S + LOAD_S + 1.0


def test_the_flooded_model_comes_back_as_soon_as_the_other_is_idle() -> None:
    w = world([12.0], [8.0, 8.0])
    flood(w, "m0", 100)
    w.arrive("m1")
    flood(w, "m0", 90)
    assert ("n0", "m0") in w.residents


@settings(max_examples=15, deadline=None, derandomize=True)
@given(order=st.lists(st.sampled_from(["m0", "m1", "m2"]), min_size=60, max_size=60))
def test_whatever_the_order_of_arrivals_each_wait_is_bounded(order: list[str]) -> None:
    w = world([12.0], [8.0, 8.0, 8.0])
    for model in order:
        w.arrive(model)
        w.advance(4.0)
    w.advance(3 * (CONFIG.line_bound_s + QUANTUM_S + LOAD_S) + len(order) * SERVICE_S)
    assert all(t.seated_at is not None for t in w.tickets)
    # Two seats at a time, three lines in turn: each turn is a bound or a quantum, a load and what it serves.
    longest = max(t.seated_at - t.at for t in w.tickets if t.seated_at is not None)
    assert longest <= 3 * (CONFIG.line_bound_s + QUANTUM_S + LOAD_S)


def test_five_models_in_room_for_two_are_served_in_batches_rather_than_a_load_for_each_request() -> None:
    w = world([17.0], [8.0] * 5, slots=4)
    for i in range(200):
        w.arrive(f"m{i % 5}")
        w.advance(2.0)
    w.advance(100.0)
    assert all(t.seated_at is not None for t in w.tickets)
    assert w.loads_begun < 0.5 * len(w.tickets)


def test_clients_that_alternate_contexts_cause_one_planned_reload() -> None:
    w = world([24.0], [8.0])
    for i in range(60):
        w.arrive("m0", num_ctx=4000 if i % 2 else 12000)
        w.advance(6.0)
    assert w.reloads <= 1
    assert [r.profile.num_ctx for r in w.residents.values()] == [16384]

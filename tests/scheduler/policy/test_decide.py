"""The decision as a whole: one action per node, nothing pinned or busy evicted, the longest wait first."""

from __future__ import annotations

import copy
from dataclasses import replace

from scheduler.policy import packing
from scheduler.policy.config import GB
from scheduler.policy.decide import decide
from scheduler.policy.decisions import Drain, Evict, Load, Refuse, Resume, Wait
from scheduler.policy.shape import Shape
from scheduler.policy.state import Action, Model, Pin, Profile, Wish
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, of_type, resident, state


def test_a_cold_model_is_loaded_into_free_vram() -> None:
    [load] = decide(state([node()], [model("a")], lines=[line("a")]), NOW, EXACT)
    assert isinstance(load, Load)
    assert (load.node, load.model, load.evict, load.cause) == ("n1", "a", (), "demand")
    assert load.expected_s == 1.5 + 10 / 2.0
    assert "10.0 GB" in load.reason


def test_idle_residents_go_to_make_room_and_no_more_than_needed() -> None:
    a, b, c = model("a", 20), model("b", 20), model("c", 6)
    there = [resident(b, last_used=NOW - 5), resident(c, last_used=NOW - 900)]
    [load] = decide(state([node(gb=28)], [a, b, c], there, [line("a")]), NOW, EXACT)
    assert isinstance(load, Load)
    assert load.evict == ("b",)


def test_a_busy_resident_is_not_evicted_but_waited_for_up_to_the_bound() -> None:
    a, b = model("a"), model("b")
    busy = resident(b, in_flight=1)
    [wait] = decide(state([node(gb=12)], [a, b], [busy], [line("a", age=10)]), NOW, EXACT)
    assert isinstance(wait, Wait)
    # It drains in time for the bound: a mean answer of 10 s and a load of 6.5 s before it.
    assert wait.until == NOW - 10 + EXACT.line_bound_s - 10 - 6.5


def test_past_its_bound_a_line_makes_the_busy_resident_drain() -> None:
    a, b = model("a"), model("b")
    busy = resident(b, in_flight=1)
    [drain] = decide(state([node(gb=12)], [a, b], [busy], [line("a", age=61)]), NOW, EXACT)
    assert drain == Drain(node="n1", model="b", wanted_by="a", reason=drain.reason)


def test_a_drained_resident_goes_for_the_line_that_wanted_it_and_for_no_other() -> None:
    a, b, c = model("a"), model("b"), model("c")
    drained = resident(b, accepting=False, wanted_by="a")
    lines = [line("c", age=90), line("a", age=70)]
    decisions = decide(state([node(gb=12)], [a, b, c], [drained], lines), NOW, EXACT)
    assert [(d.model, d.evict) for d in of_type(decisions, Load)] == [("a", ("b",))]


def test_a_drain_that_nobody_needs_any_more_is_taken_back() -> None:
    a, b = model("a"), model("b")
    draining = resident(b, accepting=False, wanted_by="a", in_flight=1)
    [resume] = decide(state([node(gb=12)], [a, b], [draining]), NOW, EXACT)
    assert isinstance(resume, Resume)


def test_nodes_act_in_parallel_and_each_takes_one_action() -> None:
    names = ("n1", "n2")
    models = [model(x, nodes=names) for x in "abc"]
    lines = [line("a", age=3), line("b", age=2), line("c", age=1)]
    decisions = decide(state([node(n) for n in names], models, lines=lines), NOW, EXACT)
    loads = of_type(decisions, Load)
    assert {d.model for d in loads} == {"a", "b"}
    assert {d.node for d in loads} == set(names)
    assert [d.model for d in of_type(decisions, Wait)] == ["c"]


def test_a_model_that_is_loading_is_not_loaded_twice() -> None:
    a = model("a", nodes=("n1", "n2"))
    busy = Action(kind="load", model="a", since=NOW - 2, until=NOW + 4.5, bytes=a.weights_bytes)
    [wait] = decide(state([node("n1", busy_with=busy), node("n2")], [a], lines=[line("a")]), NOW, EXACT)
    assert isinstance(wait, Wait)
    assert wait.eta_s == 4.5


def test_a_priority_counts_as_waiting_so_that_it_helps_but_starves_nobody() -> None:
    a, b = model("a"), model("b")
    urgent = decide(state([node()], [a, b], lines=[line("a", age=20), line("b", priority=2)]), NOW, EXACT)
    assert [d.model for d in of_type(urgent, Load)] == ["b"]
    aged = decide(state([node()], [a, b], lines=[line("a", age=90), line("b", priority=2)]), NOW, EXACT)
    assert [d.model for d in of_type(aged, Load)] == ["a"]


def test_a_model_on_no_node_that_answers_is_refused() -> None:
    [refusal] = decide(state([node(healthy=False)], [model("a")], lines=[line("a")]), NOW, EXACT)
    assert isinstance(refusal, Refuse)
    assert refusal.reason == "no_node"


def test_a_model_that_fits_nowhere_is_refused_with_the_numbers() -> None:
    [refusal] = decide(state([node(gb=24)], [model("a", 40)], lines=[line("a")]), NOW, EXACT)
    assert isinstance(refusal, Refuse)
    assert "40.0 GB" in refusal.detail
    assert "24.0 GB" in refusal.detail


def test_a_quarantined_node_loads_nothing_but_still_serves() -> None:
    a, b = model("a"), model("b")
    sick = node(quarantined_until=NOW + 60)
    decisions = decide(state([sick], [a, b], [resident(b)], [line("a"), line("b")]), NOW, EXACT)
    assert not of_type(decisions, Load)
    assert not of_type(decisions, Refuse)


def test_a_failed_load_is_not_tried_again_before_its_time() -> None:
    s = state([node()], [model("a")], lines=[line("a")])
    s.stats.failures = {("n1", "a"): NOW + 10}
    assert not of_type(decide(s, NOW, EXACT), Load)
    assert of_type(decide(s, NOW + 10, EXACT), Load)


def test_a_long_line_gets_a_replica_and_a_short_one_does_not() -> None:
    a = model("a", nodes=("n1", "n2"))
    nodes = [node("n1"), node("n2")]
    there = [resident(a, "n1", in_flight=4)]
    [load] = decide(state(nodes, [a], there, [line("a", waiting=12)]), NOW, EXACT)
    assert isinstance(load, Load)
    assert (load.node, load.cause) == ("n2", "replica")
    [wait] = decide(state(nodes, [a], there, [line("a", waiting=2)]), NOW, EXACT)
    assert isinstance(wait, Wait)
    assert wait.eta_s == 3 * EXACT.service_s / 4


def test_an_idle_replica_retires_and_the_last_resident_stays() -> None:
    a = model("a", nodes=("n1", "n2"))
    there = [resident(a, n, last_used=NOW - 4000, loaded_at=NOW - 5000) for n in ("n1", "n2")]
    [evict] = decide(state([node("n1"), node("n2")], [a], there), NOW, EXACT)
    assert isinstance(evict, Evict)
    assert evict.cause == "retire"
    assert not decide(state([node("n1"), node("n2")], [a], there[:1]), NOW, EXACT)


def test_a_pin_loads_what_is_missing_and_protects_what_is_there() -> None:
    a, b = model("a"), model("b")
    pin = Pin(model="a", name="always a")
    [load] = decide(state([node(gb=12)], [a, b], [resident(b)], pins=[pin]), NOW, EXACT)
    assert isinstance(load, Load)
    assert (load.cause, load.evict) == ("pin", ("b",))
    decisions = decide(
        state([node(gb=12)], [a, b], [resident(a)], [line("b", age=500)], pins=[pin]), NOW, EXACT
    )
    assert not of_type(decisions, Load)
    assert not of_type(decisions, Drain)
    [refusal] = of_type(decisions, Refuse)
    assert "2.0 GB" in refusal.detail


def test_a_context_above_the_resident_s_is_a_planned_reload_that_drains_first() -> None:
    a = model("a", trained_ctx=131072)
    busy = resident(a, in_flight=2)
    wants_more = line("a", num_ctx=9000)
    [drain] = decide(state([node()], [a], [busy], [wants_more]), NOW, EXACT)
    assert isinstance(drain, Drain)
    idle = resident(a, accepting=False, wanted_by="a")
    [load] = decide(state([node()], [a], [idle], [wants_more]), NOW, EXACT)
    assert isinstance(load, Load)
    assert (load.cause, load.evict, load.profile.num_ctx) == ("reload", ("a",), 16384)


def test_a_context_above_the_trained_one_is_refused() -> None:
    a = model("a", trained_ctx=32768)
    [refusal] = decide(state([node()], [a], lines=[line("a", num_ctx=40000)]), NOW, EXACT)
    assert isinstance(refusal, Refuse)
    assert refusal.num_ctx_over == 32768
    assert "40000" in refusal.detail


def test_a_node_that_is_emptied_evicts_the_idle_and_drains_the_busy() -> None:
    a, b = model("a"), model("b")
    there = [resident(a), resident(b, in_flight=1)]
    decisions = decide(state([node(draining=True)], [a, b], there), NOW, EXACT)
    assert [d.model for d in of_type(decisions, Evict)] == ["a"]
    assert [d.model for d in of_type(decisions, Drain)] == ["b"]


def test_a_resident_of_an_older_digest_goes() -> None:
    a = model("a")
    stale = resident(replace(a, digests={"n1": "older"}))
    [evict] = decide(state([node()], [a], [stale]), NOW, EXACT)
    assert isinstance(evict, Evict)
    assert evict.cause == "stale"


def test_an_operator_s_wishes_are_carried_out_except_over_a_pin() -> None:
    a, b = model("a"), model("b")
    [load] = decide(state([node()], [a], wishes=[Wish(kind="load", model="a", node="n1")]), NOW, EXACT)
    assert isinstance(load, Load)
    assert load.cause == "operator"
    wish = Wish(kind="evict", model="b")
    [evict] = decide(state([node()], [b], [resident(b)], wishes=[wish]), NOW, EXACT)
    assert isinstance(evict, Evict)
    assert not decide(state([node()], [b], [resident(b)], pins=[Pin(model="b")], wishes=[wish]), NOW, EXACT)


def test_ollama_s_own_limit_of_models_is_kept() -> None:
    a, b, c = model("a", 2), model("b", 2), model("c", 2)
    there = [resident(a, last_used=NOW - 5), resident(b, last_used=NOW - 500)]
    [load] = decide(state([node(max_residents=2)], [a, b, c], there, [line("c")]), NOW, EXACT)
    assert isinstance(load, Load)
    assert load.evict == ("b",)


def test_a_pinned_model_with_more_context_than_usual_shrinks_for_another_s_room_when_long_idle() -> None:
    shape = Shape(kv_full=65536)
    a, b = model("a", 10, shape=shape, trained_ctx=131072), model("b", 10)
    large = placement_bytes(a, 131072)
    pinned = resident(a, num_ctx=131072, bytes=large, last_used=NOW - EXACT.shrink_idle_s)
    full = node(gb=large / GB + 5)
    lines, pins = [line("b")], [Pin(model="a")]
    [load] = decide(state([full], [a, b], [pinned], lines, pins=pins), NOW, EXACT)
    assert isinstance(load, Load)
    assert (load.model, load.cause, load.evict, load.profile.num_ctx) == ("a", "reload", ("a",), 8192)
    pinned.last_used = NOW - 5
    assert not of_type(decide(state([full], [a, b], [pinned], lines, pins=pins), NOW, EXACT), Load)


def placement_bytes(of: Model, num_ctx: int) -> int:
    return packing.predicted(of, Profile(num_ctx=num_ctx, slots=4))


def test_the_last_resident_retires_only_where_an_operator_set_a_time() -> None:
    a = model("a")
    idle = resident(a, last_used=NOW - 4000, loaded_at=NOW - 5000)
    assert not decide(state([node()], [a], [idle]), NOW, EXACT)
    [evict] = decide(state([node()], [a], [idle]), NOW, replace(EXACT, retire_idle_s=3600.0))
    assert isinstance(evict, Evict)
    assert evict.cause == "retire"


def test_deciding_changes_nothing_that_it_was_shown() -> None:
    a, b, c = model("a", 20), model("b", 20), model("c", 6)
    shown = state([node(gb=28)], [a, b, c], [resident(b, in_flight=1), resident(c)], [line("a", age=99)])
    before = copy.deepcopy(shown)
    decide(shown, NOW, EXACT)
    assert shown == before

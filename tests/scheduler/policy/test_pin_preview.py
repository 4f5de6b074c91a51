"""What a pinning policy would evict, before it is saved."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policy.pin_preview import Preview, preview
from scheduler.policy.pins import MINUTES_A_DAY, Policy, Window
from scheduler.policy.state import State
from tests.scheduler.policy.cast import EXACT, NOW, model, node, resident, state

A, B, C = model("a", 10), model("b", 10), model("c", 10)


def asked(given: State, policy: Policy, *others: Policy) -> Preview:
    return preview(given, policy, others, NOW, EXACT)


def pin(name: str, **fields: object) -> Policy:
    return replace(Policy(name=f"keep {name}", model=name), **fields)  # type: ignore[arg-type]


def test_what_is_there_is_kept_and_nothing_goes() -> None:
    seen = asked(state([node()], [A, B], [resident(A), resident(B)]), pin("a"))
    assert seen == Preview(kept=(("n1", "a"),), steps=(), unmet=())


def test_a_load_into_free_room_evicts_nobody() -> None:
    (step,) = asked(state([node()], [A, B], [resident(B)]), pin("a")).steps
    assert (step.load.node, step.load.model, step.load.evict, step.busy) == ("n1", "a", (), ())


def test_the_one_that_was_used_longest_ago_goes_for_it() -> None:
    there = [resident(B, last_used=NOW - 10), resident(C, last_used=NOW - 500)]
    seen = asked(state([node(gb=20)], [A, B, C], there), pin("a"))
    assert seen.evicted == (("n1", "c"),)
    assert seen.unmet == ()


def test_a_busy_one_that_goes_is_marked_as_such() -> None:
    there = [resident(B, in_flight=1, loaded_at=NOW - 5000)]
    (step,) = asked(state([node(gb=10)], [A, B], there), pin("a")).steps
    assert (step.load.evict, step.busy) == (("b",), ("b",))


def test_other_pins_are_not_evicted_and_that_is_said() -> None:
    seen = asked(state([node(gb=10)], [A, B], [resident(B)]), pin("a"), pin("b"))
    assert seen.evicted == ()
    assert [said.partition(": ")[2] for said in seen.unmet] == [
        "what is in the way is pinned itself, or was loaded a moment ago."
    ]


def test_what_other_policies_ask_for_anyway_is_not_told_as_its_doing() -> None:
    seen = asked(state([node()], [A, B]), pin("a"), pin("b"))
    assert [step.load.model for step in seen.steps] == ["a"]


def test_each_replica_and_each_model_of_a_pattern_is_followed() -> None:
    models = [model("a:1", nodes=("n1", "n2")), model("a:2", nodes=("n1", "n2")), model("b", 30)]
    given = state([node("n1"), node("n2")], models, [resident(models[2])])
    seen = asked(given, pin("a:*", min_replicas=2))
    assert sorted((step.load.node, step.load.model) for step in seen.steps) == [
        ("n1", "a:1"),
        ("n1", "a:2"),
        ("n2", "a:1"),
        ("n2", "a:2"),
    ]
    assert seen.evicted == (("n1", "b"),)


def test_a_closed_window_is_taken_to_be_open() -> None:
    never_now = Window(start=MINUTES_A_DAY, end=MINUTES_A_DAY + 1)
    assert asked(state([node()], [A]), pin("a", windows=(never_now,))).steps


def test_nodes_that_can_take_nothing_are_named() -> None:
    given = state([node(draining=True)], [A])
    assert asked(given, pin("a")).unmet == ("1 of the 1 wanted of a has no place now: n1 can take no load.",)
    assert "none of its nodes" in asked(state([node()], [A]), pin("a", nodes=("x*",))).unmet[0]


def test_the_state_that_it_is_asked_about_is_not_changed() -> None:
    given = state([node(gb=10, free_bytes=0)], [A, B], [resident(B)])
    before = (dict(given.residents), dict(given.nodes), list(given.pins))
    assert asked(given, pin("a")).evicted == (("n1", "b"),)
    assert (dict(given.residents), dict(given.nodes), list(given.pins)) == before

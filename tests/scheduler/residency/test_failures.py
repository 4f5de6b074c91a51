from __future__ import annotations

from scheduler.policy.state import Action, State
from scheduler.residency.failures import Failures
from scheduler.residency.pace import Pace
from tests.scheduler.policy.cast import line, model, node, resident, state

PACE = Pace(failure_s=10, failure_most_s=60)
NOW = 1_000.0


def world(*, nodes: int = 2, **more: object) -> State:
    names = [f"n{i}" for i in range(1, nodes + 1)]
    return state([node(n) for n in names], [model("m", nodes=names)], lines=[line("m")], **more)  # type: ignore[arg-type]


def test_one_failure_is_tried_again_at_once_and_the_second_waits() -> None:
    failures = Failures(PACE)
    failures.note("n1", "m", "It failed.", NOW)
    assert failures.until()["n1", "m"] <= NOW
    pauses = []
    for _ in range(5):
        failures.note("n1", "m", "It failed.", NOW)
        pauses.append(failures.until()["n1", "m"] - NOW)
    assert pauses == [10, 20, 40, 60, 60]


def test_a_line_is_hopeless_when_no_node_may_load_it() -> None:
    failures = Failures(PACE)
    failures.block("n1", "m", "n1 said no.", NOW)
    assert failures.hopeless(world(), NOW) == []
    failures.block("n2", "m", "n2 said no.", NOW)
    (hopeless,) = failures.hopeless(world(), NOW)
    assert (hopeless.model, hopeless.reason, hopeless.num_ctx_over) == ("m", "load_failed", -1)
    assert "n1 said no. It is tried again in 10 s." in hopeless.detail
    assert "n2 said no." in hopeless.detail
    assert failures.hopeless(world(), NOW + 11) == []


def test_a_resident_or_a_load_under_way_is_hope() -> None:
    failures = Failures(PACE)
    failures.block("n1", "m", "It failed.", NOW)
    alone = world(nodes=1)
    assert failures.hopeless(alone, NOW)
    alone.nodes["n1"].busy_with = Action(kind="load", model="m", since=NOW)
    assert not failures.hopeless(alone, NOW)
    held = world(nodes=1, residents=[resident(model("m"))])
    assert not failures.hopeless(held, NOW)


def test_those_whom_a_resident_serves_are_not_refused_with_the_others() -> None:
    failures = Failures(PACE)
    failures.block("n1", "m", "It failed.", NOW)
    held = world(nodes=1, residents=[resident(model("m"), num_ctx=8192)])
    held.lines["m"].num_ctx = 32768
    (hopeless,) = failures.hopeless(held, NOW)
    assert hopeless.num_ctx_over == 8192


def test_quarantined_and_emptied_nodes_are_told_apart() -> None:
    failures = Failures(PACE)
    held = world()
    held.nodes["n1"].quarantined_until = NOW + 30
    held.nodes["n2"].draining = True
    (hopeless,) = failures.hopeless(held, NOW)
    assert hopeless.reason == "load_failed"
    assert "Loads on n1 hang; it is looked at again in 30 s." in hopeless.detail
    held.nodes["n1"].quarantined_until, held.nodes["n1"].draining = 0.0, True
    (hopeless,) = failures.hopeless(held, NOW)
    assert hopeless.reason == "draining"


def test_a_node_that_is_down_makes_nothing_hopeless_by_itself() -> None:
    held = world(nodes=1)
    held.nodes["n1"].healthy = False
    assert Failures(PACE).hopeless(held, NOW) == []


def test_what_failed_long_ago_is_forgotten() -> None:
    failures = Failures(PACE)
    failures.note("n1", "m", "It failed.", NOW)
    failures.forget(NOW + 60)
    assert failures.until()
    failures.forget(NOW + 121)
    assert not failures.until()


def test_a_success_or_a_restart_clears() -> None:
    failures = Failures(PACE)
    for name in ("a", "b"):
        failures.block("n1", name, "It failed.", NOW)
    failures.clear("n1", "a")
    assert list(failures.until()) == [("n1", "b")]
    failures.clear("n1")
    assert not failures.until()

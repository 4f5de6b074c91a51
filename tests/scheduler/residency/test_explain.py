from __future__ import annotations

from scheduler.policy.config import GB
from scheduler.policy.shape import Shape
from scheduler.policy.state import Action, Pin
from scheduler.residency.explain import explain
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, resident, state

A, B = model("a", nodes=("n1", "n2")), model("b", nodes=("n1", "n2"))


def test_a_model_that_is_loaded_is_served_where_most_slots_are_free() -> None:
    held = state([node("n1"), node("n2")], [A], [resident(A, "n1", in_flight=3), resident(A, "n2")])
    found = explain(held, "a", NOW, EXACT)
    assert (found.verdict, found.node) == ("resident", "n2")
    assert found.nodes[0].said == "Loaded with 8192 tokens, 3 of 4 slots taken."


def test_a_model_that_fits_is_loaded_and_nothing_goes() -> None:
    found = explain(state([node("n1", 15)], [A]), "a", NOW, EXACT)
    assert (found.verdict, found.node, found.goes, found.num_ctx) == ("load", "n1", (), 8192)
    (there,) = found.nodes
    assert (there.free_bytes, there.need_bytes, there.said) == (15 * GB, 10 * GB, "It fits.")


def test_what_would_go_is_named_with_its_regret() -> None:
    found = explain(state([node("n1", 15)], [A, B], [resident(B, "n1")]), "a", NOW, EXACT)
    assert (found.verdict, found.node, found.goes) == ("evict", "n1", ("b",))
    assert found.nodes[0].said.startswith("It fits when b goes. Expected regret ")


def test_what_is_in_use_is_waited_for() -> None:
    held = state([node("n1", 15)], [A, B], [resident(B, "n1", in_flight=1)])
    found = explain(held, "a", NOW, EXACT)
    assert (found.verdict, found.nodes[0].said) == ("wait", "b would have to go, and is in use.")
    assert "drains after 44 s" in found.said, "the bound of 60 s, less a service time and the load"
    late = explain(
        state([node("n1", 15)], [A, B], [resident(B, "n1", in_flight=1)], [line("a", age=61)]),
        "a",
        NOW,
        EXACT,
    )
    assert (late.verdict, late.goes, late.waiting) == ("drain", ("b",), 1)


def test_what_can_never_fit_is_refused_with_the_numbers() -> None:
    found = explain(state([node("n1", 8)], [A]), "a", NOW, EXACT)
    assert found.verdict == "refuse"
    assert found.nodes[0].said == "It can never fit: it needs 10.0 GB, the node has 8.0 GB."


def test_what_would_lie_in_host_memory_is_said() -> None:
    found = explain(state([node("n1", 8)], [model("a", may_spill=True)]), "a", NOW, EXACT)
    assert found.verdict == "load"
    assert found.nodes[0].said == "It fits. About 2.0 GB of it would lie in host memory, which is slow."


def test_what_is_pinned_is_named_as_the_obstacle() -> None:
    held = state([node("n1", 15)], [A, B], [resident(B, "n1")], pins=[Pin(model="b", name="always")])
    found = explain(held, "a", NOW, EXACT)
    assert "beside 10.0 GB that is pinned" in found.nodes[0].said


def test_each_node_says_what_is_in_the_way() -> None:
    nodes = [
        node("n1", healthy=False),
        node("n2", draining=True),
        node("n3", quarantined_until=NOW + 9),
        node("n4", busy_with=Action(kind="load", model="b", since=NOW)),
        node("n5"),
    ]
    everywhere = model("a", nodes=("n1", "n2", "n3", "n4"))
    found = explain(state(nodes, [everywhere, B]), "a", NOW, EXACT, errors={"n1": "connection refused"})
    assert [each.said for each in found.nodes] == [
        "It does not answer: connection refused.",
        "It is being emptied by an operator.",
        "Its loads hang: it is in quarantine.",
        "It is busy: load b.",
        "It does not have the model.",
    ]


def test_more_context_than_a_resident_has_is_a_planned_reload() -> None:
    grown = model("a", gb=10, shape=Shape(kv_full=100_000, vocabulary=1, embedding=1, feed_forward=1))
    held = state([node("n1", 40)], [grown, B], [resident(grown), resident(B)])
    found = explain(held, "a", NOW, EXACT, num_ctx=32768)
    assert (found.verdict, found.goes, found.num_ctx) == ("evict", ("b",), 32768)
    assert found.said.startswith("It is loaded with 8192 tokens, and loaded anew. It needs 3")
    assert found.nodes[0].said == "Loaded with 8192 tokens; 32768 fit when b goes, after draining."
    held = state([node("n1", 20)], [grown], [resident(grown)])
    assert "32768 do not fit. It can never fit" in explain(held, "a", NOW, EXACT, num_ctx=32768).nodes[0].said


def test_a_name_that_nobody_knows_is_refused() -> None:
    found = explain(state([node("n1")], [A]), "z", NOW, EXACT)
    assert (found.verdict, found.nodes) == ("refuse", ())


def test_more_context_than_the_model_was_trained_for_is_refused() -> None:
    found = explain(state([node("n1")], [model("a", trained_ctx=8192)]), "a", NOW, EXACT, num_ctx=9000)
    assert found.verdict == "refuse"
    assert "9000 tokens are asked for" in found.said

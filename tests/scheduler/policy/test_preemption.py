"""Which prefetches are called off for demand."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.policy.decide import round_of
from scheduler.policy.preemption import CALLING_OFF_S, CallOff, call_offs
from scheduler.policy.state import Action, Line, Model, Node, Resident
from scheduler.policy.view import View
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, resident, state

A, B, C = (model(name, nodes=("n1", "n2")) for name in "abc")


def loading(of: Model, left_s: float = 10.0, cause: str = "prefetch") -> Action:
    until = NOW + left_s
    return Action(kind="load", model=of.name, since=NOW - 1, until=until, bytes=of.weights_bytes, cause=cause)


def called_off(
    nodes: Iterable[Node], lines: Iterable[Line], residents: Iterable[Resident] = ()
) -> list[CallOff]:
    view = View(state(nodes, [A, B, C], residents, lines), NOW, EXACT)
    return call_offs(view, round_of(view))


def test_a_cold_line_calls_off_the_prefetch_in_its_way() -> None:
    [call] = called_off([node(gb=12, busy_with=loading(A))], [line("b", waiting=3)])
    assert (call.node, call.model, call.for_model) == ("n1", "a", "b")
    assert call.reason == "3 wait for b, and 10.0 s were left."


def test_what_demand_itself_loads_goes_on() -> None:
    assert not called_off([node(gb=12, busy_with=loading(A, cause="demand"))], [line("b")])


def test_a_prefetch_for_which_somebody_waits_by_now_goes_on() -> None:
    assert not called_off([node(gb=12, busy_with=loading(A))], [line("b"), line("a")])


def test_a_load_that_is_nearly_done_goes_on() -> None:
    assert not called_off([node(gb=12, busy_with=loading(A, CALLING_OFF_S))], [line("b")])


def test_a_line_that_can_be_helped_elsewhere_calls_nothing_off() -> None:
    elsewhere = [node("n1", gb=12, busy_with=loading(A)), node("n2", gb=12)]
    assert not called_off(elsewhere, [line("b")])
    assert not called_off([node("n1", gb=12, busy_with=loading(A))], [line("b")], [resident(B)])


def test_where_it_would_not_fit_even_then_nothing_is_called_off() -> None:
    busy = resident(C, in_flight=1)
    assert not called_off([node(gb=12, busy_with=loading(A))], [line("b")], [busy])


def test_of_two_the_one_with_more_time_left_and_one_for_each_line() -> None:
    nodes = [node("n1", gb=12, busy_with=loading(A, 5.0)), node("n2", gb=12, busy_with=loading(A, 9.0))]
    assert [call.node for call in called_off(nodes, [line("b")])] == ["n2"]
    assert {call.node for call in called_off(nodes, [line("b"), line("c")])} == {"n1", "n2"}

"""One replay's figures, worked out by hand; and the same in processes of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.planning import pool
from scheduler.planning.estimate import Candidate, Workload, covered, estimate
from scheduler.planning.fleet import HOURS_A_MONTH, Kind, least_count
from scheduler.planning.question import BadQuestion, Question, answer
from scheduler.planning.search import all_met
from scheduler.policy.state import Pin
from tests.scheduler.planning.cast import CHEAP, QUICK, SMALL, cycle, fleet
from tests.scheduler.replay.cast import trace


def candidate(kind: Kind, count: int, policy: str = "lru") -> Candidate:
    return Candidate(fleet=fleet(kind, count), policy=policy)


def test_the_figures_of_one_request_are_those_of_its_load_prefill_and_answer() -> None:
    one = trace([(100.0, "k", "a")], {"a": 10.0}, output=540)
    one.prompt_tokens = [4000]
    found = estimate(Workload(trace=one), candidate(QUICK, 2), lambda: None)
    load_s = 1.5 + 10 / 4
    assert found.wait_p50_s == load_s
    # Twice as quick as the usual card: 4000 tokens/s of prefill, 108 tokens/s of decode.
    assert found.ttft_p99_s == load_s + 1.0
    assert found.utilisation == pytest.approx((1.0 + 5.0) / (2 * (load_s + 6.0)))
    assert found.usd_per_month == pytest.approx(2 * 0.5 * HOURS_A_MONTH)
    assert found.usd_per_mtok == pytest.approx(2 * 0.5 * (load_s + 6.0) / 3600 / 4540 * 1e6)
    assert (found.cold_share, found.loads) == (1.0, 1)


def test_more_nodes_make_fewer_cold_starts() -> None:
    workload = Workload(trace=cycle())
    cold = [estimate(workload, candidate(CHEAP, n), lambda: None).cold_share for n in (1, 3)]
    assert cold == [1.0, pytest.approx(3 / 60)]


def test_a_pinned_model_is_always_there() -> None:
    pinned = Workload(trace=cycle(), pins=(Pin(model="a", min_replicas=1, name="the plan"),))
    free = estimate(Workload(trace=cycle()), candidate(CHEAP, 2), lambda: None)
    kept = estimate(pinned, candidate(CHEAP, 2), lambda: None)
    assert free.cold_share == 1.0
    assert kept.cold_share == pytest.approx(41 / 60)  # all but the first of every third


def test_who_finds_no_place_beside_a_pin_is_never_served_and_no_target_is_met() -> None:
    pinned = Workload(trace=cycle(), pins=(Pin(model="a", min_replicas=1, name="the plan"),))
    found = estimate(pinned, candidate(CHEAP, 1), lambda: None)
    assert found.unserved == 40
    assert found.wait_p99_s > 1000
    assert not all_met([], found)


def test_time_in_which_several_run_counts_once() -> None:
    assert covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.5, 5.6)]) == 4.0


def test_too_few_nodes_to_carry_the_work_are_not_tried() -> None:
    # 100 answers of 54 s of decode on 10 GB within 99 s: each holds a quarter of it, 4 slots at most.
    busy = trace([(float(i), "k", "a") for i in range(100)], {"a": 10.0}, output=2916)
    assert least_count(CHEAP, busy, 4) == 12  # 100 * 54 * 2.5 GB / (12 GB * 99 s) = 11.4
    assert least_count(QUICK, busy, 4) == 3
    assert least_count(SMALL, busy, 4) is None
    assert least_count(CHEAP, trace([(5.0, "k", "a")], {"a": 10.0}), 4) == 1


def test_processes_give_the_same_answer() -> None:
    question = Question(kinds=(CHEAP, QUICK), policies=("lru",), most_nodes=4)
    alone = answer(question, cycle(), jobs=1).search
    beside = answer(question, cycle(), jobs=2).search
    assert alone.best is not None
    assert beside.best == alone.best
    assert str(alone.best.candidate.fleet) == "3x cheap"


def test_a_cancelled_plan_ends_its_processes() -> None:
    calls = 0

    def alive() -> None:
        nonlocal calls
        calls += 1
        raise pool.Cancelled

    with pytest.raises(pool.Cancelled):
        answer(Question(kinds=(CHEAP,)), cycle(), jobs=1, alive=alive)
    assert calls == 1


def test_twice_the_users_need_more_nodes() -> None:
    question = Question(kinds=(CHEAP,), policies=("lru",), most_nodes=8)
    busy = trace(
        [(4.0 * i, f"k{i % 9}", "ab"[i % 2]) for i in range(900)], {"a": 10.0, "b": 10.0}, output=700
    )
    now, later = answer(question, busy).search, answer(replace(question, growth=3.0), busy).search
    assert now.best is not None
    assert later.best is not None
    assert later.best.candidate.fleet.count > now.best.candidate.fleet.count


def test_the_worst_day_is_told_where_it_is_clearly_worse() -> None:
    quiet = [(72.0 * i, "k", "a") for i in range(2400)]
    hectic = [(2 * 86_400 + 60.0 * i, "k", "abc"[i % 3]) for i in range(110)]
    days = trace(quiet + hectic, dict.fromkeys("abc", 10.0))
    told = answer(Question(kinds=(CHEAP,), policies=("lru",), most_nodes=1), days)
    best = told.search.best
    assert best is not None
    assert best.wait_p95_s == 0.0
    assert best.worst_day_p95_s == 6.5
    assert "On the worst day of the trace 95 % waited at most 6.5 s on 1x cheap." in told.doubts


def test_a_model_that_fits_nowhere_is_told() -> None:
    with pytest.raises(BadQuestion, match="10 GB and fits on no type"):
        answer(Question(kinds=(SMALL,)), cycle())


def test_doubts_are_said() -> None:
    told = answer(Question(kinds=(SMALL, CHEAP), policies=("lru",), most_nodes=1), cycle()).doubts
    assert "60 requests are few" in told[0]
    assert "shorter than a day" in told[1]
    assert "Left out, because the largest model has 10 GB: small." in told[2]
    assert told[3] == "No fleet of at most 1 nodes keeps p95 wait at most 2 s."


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kinds": ()}, "no type of GPU"),
        ({"most_nodes": 0}, "from 1 to 64"),
        ({"slots": 0}, "from 1 to 64"),
        ({"policies": ("magic",)}, "there is no policy 'magic'"),
        ({"pins": (("z", 1),)}, "Nothing in the trace asks for 'z'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(BadQuestion, match=says):
        answer(Question(**{"kinds": (CHEAP,), **wrong}), cycle())  # type: ignore[arg-type]


def test_a_question_survives_its_way_through_a_row() -> None:
    asked = Question(kinds=(CHEAP, QUICK), policies=("bridge", "lru"), pins=(("a", 2),), most_nodes=7)
    assert Question.of_json(asked.as_json()) == asked

"""Plans that were asked for in the admin: one at a time, followed, cancelled, never left hanging."""

from __future__ import annotations

import gzip
from datetime import timedelta

import pytest
from django.utils import timezone

from scheduler.models import PlanRun
from scheduler.planning import carry
from scheduler.planning.pool import Cancelled, Failed
from scheduler.planning.question import Question
from scheduler.planning.search import Target
from scheduler.replay import policies
from scheduler.replay.trace import COLUMNS
from tests.scheduler.planning.cast import CHEAP, QUICK, SMALL

pytestmark = pytest.mark.django_db
State = PlanRun.State
ROWS = [f"{20 * i},k{i % 2},{'abc'[i % 3]},0,100" for i in range(60)]
SIZES = "model,size_gb\na,10\nb,10\nc,10\n"


def asked(rows: list[str] = ROWS, **question: object) -> PlanRun:
    facts = {"kinds": (SMALL, CHEAP, QUICK), "policies": ("lru",), "most_nodes": 4, **question}
    text = "\n".join([",".join(COLUMNS), *rows]) + "\n"
    return PlanRun.objects.ask(
        asked_by="olga",
        source="a test",
        question=Question(**facts).as_json(),  # type: ignore[arg-type]
        trace=gzip.compress(text.encode()),
        sizes=SIZES,
    )


def carried(run: PlanRun) -> PlanRun:
    carry.waiting(nice=0)
    run.refresh_from_db()
    return run


def test_an_answer_has_the_best_fleet_and_its_picture() -> None:
    run = carried(asked())
    assert (run.state, run.said) == (State.DONE, "so far 3x cheap, $219")
    assert run.answer["best"]["nodes"] == 3
    assert any("Left out" in doubt for doubt in run.answer["doubts"])
    assert "<style" not in run.picture
    assert run.picture.startswith("<svg")
    assert (bytes(run.trace), run.done) == (b"", len(run.answer["fleets"]))


def test_all_that_wait_are_carried_out_in_the_order_of_asking() -> None:
    first, second = asked(), asked()
    assert carry.waiting(nice=0) == 2
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.finished_at < second.started_at


def test_one_runs_at_a_time() -> None:
    running, other = asked(), asked()
    claimed = PlanRun.objects.claim()
    assert claimed == running
    assert PlanRun.objects.claim() is None
    assert carry.waiting(nice=0) == 0
    claimed.finish(State.DONE)
    assert PlanRun.objects.claim() == other


@pytest.mark.parametrize(
    ("rows", "question", "says"),
    [
        (["0,k,a,1,1", "soon,k,a,1,1"], {}, "trace.csv, line 3: timestamp_s must be seconds"),
        (["0,k,z,1,1"], {}, "trace.csv, line 2: model 'z' is not in the list"),
        (ROWS, {"kinds": (SMALL,)}, "10 GB and fits on no type"),
        (ROWS, {"pins": (("z", 1),)}, "Nothing in the trace asks for 'z'"),
    ],
)
def test_what_cannot_be_planned_fails_with_its_reason(
    rows: list[str], question: dict[str, object], says: str
) -> None:
    run = carried(asked(rows, **question))
    assert run.state == State.FAILED
    assert says in run.said
    assert not run.said.startswith("/")


def test_a_trace_that_is_larger_unpacked_than_allowed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "LARGEST_BYTES", 100)
    assert "larger than" in carried(asked()).said


def test_an_error_of_ours_does_not_leave_it_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(carry, "answer", broken)
    run = carried(asked())
    assert (run.state, run.said) == (State.FAILED, "It failed by an error of ours: ZeroDivisionError.")
    assert f"plan {run.pk} failed" in caplog.text


def test_nobody_finds_a_fleet_where_there_is_none() -> None:
    run = carried(asked(kinds=(CHEAP,), most_nodes=1))
    assert run.state == State.DONE
    assert run.answer["best"] is None
    assert run.said == "No fleet of at most 1 nodes keeps p95 wait at most 2 s."


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pulse_is_told_once_a_second_and_hears_of_a_cancellation() -> None:
    asked()
    run = PlanRun.objects.claim()
    assert run is not None
    clock = Clock()
    pulse = carry.Pulse(run, clock)
    PlanRun.objects.filter(pk=run.pk).update(beat_at=timezone.now() - timedelta(minutes=1))
    pulse.beat()
    run.refresh_from_db()
    assert run.beat_at < timezone.now() - timedelta(seconds=30)
    clock.now = 1.5
    pulse.beat()
    run.refresh_from_db()
    assert run.beat_at > timezone.now() - timedelta(seconds=30)
    run.stop()
    clock.now = 3.0
    with pytest.raises(Cancelled):
        pulse.beat()


def test_a_plan_that_takes_too_long_is_given_up() -> None:
    asked()
    run = PlanRun.objects.claim()
    assert run is not None
    clock = Clock()
    pulse = carry.Pulse(run, clock)
    clock.now = carry.LONGEST_S + 2
    with pytest.raises(Failed, match="more than an hour"):
        pulse.beat()


def test_a_plan_whose_server_is_gone_waits_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    run = asked()

    def orphaned(self: carry.Pulse) -> None:
        raise carry.Orphaned

    monkeypatch.setattr(carry.Pulse, "beat", orphaned)
    with pytest.raises(carry.Orphaned):
        carry.waiting(nice=0)
    run.refresh_from_db()
    assert run.state == State.WAITING
    monkeypatch.undo()
    assert carried(run).state == State.DONE


def test_cancelling_ends_what_waits_at_once_and_what_runs_soon() -> None:
    waits = asked()
    waits.stop()
    waits.refresh_from_db()
    assert waits.state == State.CANCELLED
    runs = asked()
    claimed = PlanRun.objects.claim()
    assert claimed == runs
    claimed.stop()
    carry.carry_out(claimed)
    runs.refresh_from_db()
    assert (runs.state, runs.answer) == (State.CANCELLED, None)


def test_a_run_whose_process_died_has_failed() -> None:
    run = asked()
    PlanRun.objects.claim()
    assert PlanRun.objects.give_up_lost(timezone.now()) == 0
    assert PlanRun.objects.give_up_lost(timezone.now() + timedelta(minutes=1)) == 1
    run.refresh_from_db()
    assert run.state == State.FAILED
    assert "The process that replayed it ended" in run.said


def test_old_runs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.models.plan_run.KEPT", 3)
    runs = [asked() for _ in range(5)]
    assert list(PlanRun.objects.order_by("id")) == runs[2:]


def test_every_policy_that_the_page_offers_is_one() -> None:
    assert [policies.known(name) for name, _ in PlanRun.POLICIES]
    assert Target(figure="wait_p95_s", seconds=1.0)

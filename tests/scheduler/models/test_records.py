from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from scheduler.models import LedgerEntry, Measurement, Node, OperatorRequest

pytestmark = pytest.mark.django_db


def learn(**facts: object) -> Measurement:
    profile = {"node": "a", "digest": "d", "num_ctx": 8192, "slots": 2, "kv_type": "f16"}
    seen = {"size_bytes": 10, "size_vram": 10, "load_s": 10.0}
    return Measurement.objects.learn(**profile | seen | facts)  # type: ignore[arg-type]


def test_a_measurement_keeps_the_last_sizes_and_a_mean_of_load_times() -> None:
    learn()
    learn(size_bytes=12, size_vram=11, load_s=20.0)
    row = learn(size_bytes=12, size_vram=12, load_s=None)
    assert (row.size_bytes, row.size_vram, row.load_s, row.samples) == (12, 12, 13.0, 3)
    assert Measurement.objects.count() == 1


def test_each_profile_is_measured_for_itself() -> None:
    learn()
    learn(num_ctx=4096)
    learn(kv_type="q8_0")
    learn(node="b")
    assert Measurement.objects.count() == 4


def test_the_ledger_takes_a_decision_and_later_its_outcome_once() -> None:
    entry = LedgerEntry.objects.record("prefetch", node="a", model="m:latest", cause="hour of week")
    assert entry.settle("hit")
    assert not entry.settle("wasted")
    entry.refresh_from_db()
    assert (entry.outcome, str(entry)) == ("hit", "prefetch m:latest on a")


def test_the_ledger_knows_its_kinds() -> None:
    with pytest.raises(ValueError, match="gossip"):
        LedgerEntry.objects.record("gossip")


class TestOperatorRequest:
    @pytest.fixture(autouse=True)
    def node(self) -> Node:
        return Node.objects.create(name="a", url="http://a:11434")

    def test_it_is_filed_and_carried_out_once(self) -> None:
        asked = OperatorRequest.objects.ask("load", node="a", model="Llama3.2", asked_by="ann")
        again = OperatorRequest.objects.get()
        assert [str(request) for request in OperatorRequest.objects.waiting()] == [
            "load llama3.2:latest on a"
        ]
        assert asked.finish("done", "loaded in 4 s")
        assert not again.finish("refused", "too late")
        again.refresh_from_db()
        assert (again.state, again.outcome) == ("done", "loaded in 4 s")
        assert again.finished_at is not None
        assert not OperatorRequest.objects.waiting()

    def test_waiting_ones_come_oldest_first(self) -> None:
        first = OperatorRequest.objects.ask("drain", node="a", asked_by="ann")
        second = OperatorRequest.objects.ask("undrain", node="a", asked_by="ann")
        assert list(OperatorRequest.objects.waiting()) == [first, second]

    @pytest.mark.parametrize(
        ("kind", "facts"),
        [
            ("load", {}),
            ("drain", {}),
            ("evict", {"model": "m"}),
            ("load", {"model": "no name!"}),
            ("drain", {"node": "elsewhere"}),
            ("dance", {"model": "m"}),
        ],
    )
    def test_one_that_cannot_be_carried_out_is_refused(self, kind: str, facts: dict[str, str]) -> None:
        with pytest.raises(ValidationError):
            OperatorRequest.objects.ask(kind, **facts, asked_by="ann")

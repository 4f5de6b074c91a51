"""What hours cost whom, from records, samples and the ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from bridge.accounting import costs, sums
from bridge.models import CostHour, CostRollup, ModelGaps
from bridge.models.rollups import DAY as A_DAY
from bridge.models.rollups import HOUR
from scheduler.models import LedgerEntry, Node, NodePrice
from tests.bridge.accounting.cast import at, insert, load, resident, row, sample, sampled_hour

pytestmark = pytest.mark.django_db
LATER = at(20)
HOUR_S = 3600


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    for module in (sums, costs):
        if hasattr(module, "timezone"):
            monkeypatch.setattr(module.timezone, "now", lambda: LATER)
    return LATER


@pytest.fixture
def gpu1() -> Node:
    return Node.objects.create(name="gpu1", url="http://gpu1:11434", price_per_hour=Decimal("3.60"))


def worked(hour: int, moment: datetime = LATER) -> dict[tuple[str, str, str], float]:
    """GPU-seconds by part, model and key."""
    sums.roll()
    CostHour.objects.get_or_create(start=at(hour))
    assert costs.work_out(at(hour), moment)
    rows = CostRollup.objects.filter(span=HOUR, start=at(hour))
    return {(r.part, r.model, r.key): r.gpu_us / 1e6 for r in rows}


def micros(span: int = HOUR) -> int:
    return CostRollup.objects.filter(span=span).aggregate(sum=Sum("micros"))["sum"] or 0


def test_an_hour_is_split_between_requests_loads_pins_and_room(gpu1: Node) -> None:
    sampled_hour(9, resident("small:latest", 6), resident("kept:latest", 12, pin="day shift", team="blue"))
    insert(row(at(9, 10)), row(at(9, 30), outcome="cancelled", key="key2"))
    load(at(9, 5), 30, key="key1")
    load(at(9, 6), 12, outcome="out_of_memory")
    found = worked(9)
    busy = 30 + 12 + 2 + 6 + 8
    assert found == {
        ("load", "small:latest", "key1"): 30,
        ("wasted", "small:latest", ""): 12,
        ("prefill", "small:latest", "key1"): 2,
        ("decode", "small:latest", "key1"): 6,
        ("wasted", "small:latest", "key2"): 8,
        ("idle_pinned", "kept:latest", ""): (HOUR_S - busy) / 2,
        ("idle_evictable", "small:latest", ""): (HOUR_S - busy) / 4,
        ("idle_empty", "", ""): (HOUR_S - busy) / 4,
    }
    pinned = CostRollup.objects.get(span=HOUR, part="idle_pinned")
    assert (pinned.pin, pinned.team) == ("day shift", "blue")
    assert micros() == micros(A_DAY) == 3_600_000


def test_an_hour_worked_out_twice_is_the_same_and_a_late_record_changes_it(gpu1: Node) -> None:
    sampled_hour(9)
    insert(row(at(9, 10)))
    first = worked(9)
    assert worked(9) == first
    assert at(9) not in costs.due(LATER)
    insert(row(at(9, 20)))
    sums.roll()
    assert at(9) in costs.due(LATER)
    assert worked(9)["decode", "small:latest", "key1"] == 12
    assert micros() == micros(A_DAY) == 3_600_000


def test_a_request_over_the_turn_of_the_hour_belongs_to_both(gpu1: Node) -> None:
    sampled_hour(9)
    sampled_hour(10)
    insert(row(at(9, 59), total_ms=120_000, queue_ms=0, prompt_eval_ms=30_000, eval_ms=90_000))
    assert worked(9)["decode", "small:latest", "key1"] == 30
    assert worked(10)["decode", "small:latest", "key1"] == 60


def test_what_nobody_saw_is_unseen_and_still_paid(gpu1: Node) -> None:
    sample(at(8, 30))
    for minute in range(10, 20):
        sample(at(9, minute), up=minute != 15)
    insert(row(at(9, 40)))
    found = worked(9)
    assert found["idle_empty", "", ""] == 10 * 60 + 90 - 60  # the last one speaks for 150 seconds
    assert found["decode", "small:latest", "key1"] == 6
    assert found["unseen", "", ""] == HOUR_S - 630 - 8
    assert micros() == 3_600_000


def test_a_change_of_price_does_not_rewrite_the_past(gpu1: Node) -> None:
    sampled_hour(9)
    worked(9)
    gpu1.price_per_hour = Decimal("7.20")
    gpu1.save()  # in force from now on, which is after that hour
    worked(9)
    assert micros() == 3_600_000


def test_energy_is_paid_by_who_drew_it(gpu1: Node) -> None:
    gpu1.price_per_hour, gpu1.price_per_kwh = None, Decimal("0.40")
    gpu1.save()

    NodePrice.objects.all().delete()
    NodePrice.objects.note("gpu1", None, Decimal("0.40"), at(0))
    for minute in range(60):
        sample(at(9, minute), watts=500.0 if minute < 30 else 100.0)
    worked(9)
    assert micros() == 120_000  # 0.3 kWh
    assert CostRollup.objects.filter(span=HOUR).aggregate(sum=Sum("joules"))["sum"] == 1_080_000


def test_a_prefetch_without_an_outcome_is_looked_at_again(gpu1: Node) -> None:
    sampled_hour(9)
    prefetch = load(at(9, 10), 20, kind="prefetch", outcome="")
    soon = at(10, 10)
    assert worked(9, soon)["load", "small:latest", ""] == 20
    assert at(9) not in costs.due(soon + timedelta(minutes=5))
    assert at(9) in costs.due(soon + timedelta(minutes=31))
    LedgerEntry.objects.filter(pk=prefetch.pk).update(outcome="wasted")
    assert worked(9, soon)["wasted", "small:latest", ""] == 20
    assert at(9) not in costs.due(soon + timedelta(minutes=31))


def test_the_hour_that_runs_is_due_until_it_has_settled(gpu1: Node) -> None:
    sample(at(9))
    assert costs.due(at(9, 30)) == [at(9)]
    worked(9, at(9, 30))
    assert sum(r.gpu_us for r in CostRollup.objects.filter(span=HOUR)) == 1800 * 10**6
    assert at(9) in costs.due(at(10, 1))
    worked(9, at(10, 3))
    assert costs.due(at(10, 4)) == [at(10)]


def test_hours_of_days_whose_sums_are_gone_stay_as_they_are(gpu1: Node) -> None:
    sampled_hour(9)
    insert(row(at(9, 10)))
    sums.roll()
    assert costs.due(at(20) + timedelta(days=100))[-1] > at(9) + timedelta(days=9)


def test_gaps_of_a_model_are_noted_across_hours_and_nodes(gpu1: Node) -> None:
    insert(row(at(9, 10)), row(at(9, 30), node="gpu2"), row(at(10, 0)), row(at(9, 11), model="other:latest"))
    worked(9)
    worked(10)
    worked(9)
    worked(10)
    nine, ten = ModelGaps.objects.filter(model="small:latest").order_by("start")
    assert nine.gaps == {"20": [1, 20 * 60 - 10.0]}
    assert ten.gaps == {"21": [1, 30 * 60 - 10.0]}
    assert ModelGaps.objects.get(model="other:latest").gaps == {}

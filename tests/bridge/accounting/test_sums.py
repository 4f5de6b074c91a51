"""Records go into the sums once, whenever they come."""

from __future__ import annotations

import pytest
from django.db.models import Sum

from bridge.accounting import sums
from bridge.models import CostHour, Mark, RefusalRollup, UsageRecord, UsageRollup
from bridge.models.rollups import DAY, HOUR
from tests.bridge.accounting.cast import at, insert, refused, row

pytestmark = pytest.mark.django_db


def totals(span: int) -> tuple[int, int]:
    found = UsageRollup.objects.filter(span=span).aggregate(n=Sum("requests"), tokens=Sum("output_tokens"))
    return found["n"] or 0, found["tokens"] or 0


def test_hours_and_days_hold_the_sums_of_their_records() -> None:
    insert(row(at(9, 59)), row(at(10, 1), eval_ms=5), row(at(10, 2)), row(at(10, 3), key="key2", team="blue"))
    assert sums.roll() == 4
    hours = UsageRollup.objects.filter(span=HOUR, key="key1").order_by("start")
    assert [(h.start, h.requests, h.eval_ms, h.prompt_tokens) for h in hours] == [
        (at(9), 1, 6000, 100),
        (at(10), 2, 6005, 200),
    ]
    day = UsageRollup.objects.get(span=DAY, key="key1")
    assert (day.start, day.requests, day.longest_ms, day.longest_tokens) == (at(0), 3, 10_000, 150)
    assert UsageRollup.objects.get(span=DAY, key="key2").team == "blue"


def test_no_record_is_added_twice_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "BATCH", 3)
    monkeypatch.setattr(sums, "BATCH_APART", 3)
    insert(*(row(at(10, minute)) for minute in range(10)))
    assert sums.roll() == 10
    assert sums.roll() == 0
    insert(row(at(11)), row(at(3)))  # the second one comes late
    sums.roll()
    assert totals(HOUR) == totals(DAY) == (12, 600)
    assert UsageRollup.objects.get(span=HOUR, start=at(3)).requests == 1


def test_a_round_that_breaks_off_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    insert(row(at(10)))

    def broken(hours: object) -> None:
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(sums, "touch", broken)
        with pytest.raises(RuntimeError):
            sums.roll()
    assert totals(HOUR) == (0, 0)
    sums.roll()
    assert totals(HOUR) == (1, 50)


def test_a_process_that_was_overtaken_adds_nothing() -> None:
    insert(row(at(10)), row(at(11)))
    old = Mark.objects.create(name=sums.USAGE, position=0)
    sums.roll()
    newest = UsageRecord.objects.order_by("-id")[0].pk
    assert not sums._batch(old, newest)
    assert totals(HOUR) == (2, 100)


def test_refusals_are_kept_by_reason_and_address() -> None:
    address = "192.0.2.7"
    insert(
        refused(at(9, 1), "unknown_key", key="", team="", address=address),
        refused(at(9, 5), "unknown_key", key="", team="", address=address),
        refused(at(9, 2), "rate", 429, address="2001:db8::1"),
        row(at(9, 3), address=address),
    )
    sums.roll()
    found = RefusalRollup.objects.filter(span=HOUR).order_by("-requests")
    assert [(r.reason, r.status, r.address, r.requests, r.last_at) for r in found] == [
        ("unknown_key", 401, address, 2, at(9, 5)),
        ("rate", 429, "2001:db8::1", 1, at(9, 2)),
    ]


def test_hours_in_which_a_request_ran_have_their_costs_worked_out_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sums.timezone, "now", lambda: at(20))
    insert(row(at(9, 30), total_ms=3_600_000), refused(at(5), "rate"))
    sums.roll()
    assert set(CostHour.objects.values_list("start", flat=True)) == {at(9), at(10), at(11)}
    insert(row(at(9, 40)))
    sums.roll()
    assert CostHour.objects.get(start=at(9)).changes == 2

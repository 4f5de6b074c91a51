from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from bridge.models import UsageRecord
from dashboard import paging
from dashboard.admin.usage import UsageRecordAdmin
from dashboard.templatetags.calendar_hierarchy import below

LIST = "/admin/bridge/usagerecord/"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(number: int, **fields: object) -> UsageRecord:
    values = {
        "request_id": f"r{number}",
        "at": NOON - timedelta(hours=number),
        "key": "ab12cd34",
        "key_name": "crawler",
        "model": "llama3.2:latest",
        "node": "gpu1",
        "outcome": "answered",
        "status": 200,
        "ttft_ms": 120,
    }
    return UsageRecord.objects.create(**(values | fields))


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return [found.request_id for found in answer.context["cl"].result_list]


def test_the_newest_records_come_first(vera: Client) -> None:
    for number in range(3):
        record(number)
    assert listed(vera) == ["r0", "r1", "r2"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?outcome__exact=refused", ["r1"]),
        ("?reason=rate", ["r1"]),
        ("?model=qwen3%3A8b", ["r2"]),
        ("?node=gpu2", ["r3"]),
        ("?q=r2", ["r2"]),
        ("?q=zz99zz99", ["r3"]),
        ("?q=R2", []),
        ("?at__year=2026&at__month=11&at__day=19", ["r50"]),
        ("?at__year=2026&at__month=11", ["r0", "r1", "r2", "r3", "r50"]),
        ("?at__year=2025", []),
    ],
)
def test_filters_search_and_dates_find_what_they_say(vera: Client, query: str, found: list[str]) -> None:
    record(0)
    record(1, outcome="refused", reason="rate", status=429, ttft_ms=None)
    record(2, model="qwen3:8b")
    record(3, node="gpu2", key="zz99zz99")
    record(50, at=NOON - timedelta(days=1))
    assert listed(vera, query) == found


def test_the_list_counts_no_more_than_its_bound_and_compares_no_column_over_all_rows(
    vera: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
) -> None:
    for number in range(12):
        record(number)
    monkeypatch.setattr(paging, "MOST", 10)
    monkeypatch.setattr(UsageRecordAdmin, "list_per_page", 5)
    with django_assert_max_num_queries(14) as asked:
        answer = vera.get(LIST)
    assert answer.context["cl"].result_count == 10
    about_usage = [query["sql"] for query in asked if "bridge_usagerecord" in query["sql"]]
    assert about_usage
    for sql in about_usage:
        assert "LIMIT" in sql or "MIN(" in sql or "MAX(" in sql
        assert "DISTINCT" not in sql


def test_a_record_page_shows_all_of_it_and_lets_nobody_change_it(root: Client) -> None:
    kept = record(1, client="OpenAI/Python", address="192.0.2.7")
    url = reverse("admin:bridge_usagerecord_change", args=[kept.pk])
    text = root.get(url).content.decode()
    for shown in ("r1", "OpenAI/Python", "192.0.2.7", "llama3.2:latest"):
        assert shown in text
    assert root.post(url, {"model": "x"}).status_code == 403
    assert (
        root.post(reverse("admin:bridge_usagerecord_delete", args=[kept.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert root.get(LIST + "add/").status_code == 403
    assert "action" not in root.get(LIST).context["cl"].model_admin.get_actions(root.get(LIST).wsgi_request)
    kept.refresh_from_db()
    assert kept.model == "llama3.2:latest"


def test_a_refused_stranger_is_listed_by_address(vera: Client) -> None:
    record(1, key="", key_name="", address="192.0.2.66", outcome="refused", reason="unknown", status=401)
    assert "192.0.2.66" in vera.get(LIST).content.decode()


days = st.dates(date(2020, 1, 1), date(2030, 12, 31))


@given(days, days, days)
def test_the_calendar_leads_to_every_day_between_the_first_and_the_last(a: date, b: date, c: date) -> None:
    first, day, last = sorted([a, b, c])
    assert (day.year,) in below(first, last)
    assert (day.year, day.month) in below(first, last, day.year)
    assert (day.year, day.month, day.day) in below(first, last, day.year, day.month)
    assert below(first, last, day.year, day.month, day.day) == []


@given(days, days, st.lists(st.integers(-5, 20000), max_size=4))
def test_made_up_dates_in_a_query_lead_nowhere(a: date, b: date, chosen: list[int]) -> None:
    first, last = sorted([a, b])
    for parts in below(first, last, *chosen):
        assert len(parts) == len(chosen) + 1
        assert first.year <= parts[0] <= last.year
        assert len(parts) < 3 or first <= date(*parts) <= last


def test_one_month_of_records_is_entered_by_itself(vera: Client) -> None:
    record(1)
    record(30)
    text = vera.get(LIST).content.decode()
    assert "20 November" in text
    assert "19 November" in text
    assert "18 November" not in text

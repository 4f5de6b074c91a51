from __future__ import annotations

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from bridge.models import Actor, ApiKey, UsageRecord
from dashboard import figures


def record(number: int, outcome: str = "answered", **fields: object) -> None:
    UsageRecord.objects.create(
        **({"request_id": f"r{number}", "at": timezone.now(), "outcome": outcome, "key": "ab12cd34"} | fields)
    )


def test_the_start_page_adds_up_today_and_only_today(vera: Client) -> None:
    record(1, prompt_tokens=1000, output_tokens=200)
    record(2, prompt_tokens=500)
    record(3, "refused", reason="rate")
    record(4, "failed")
    record(5, "cancelled")
    record(6, prompt_tokens=7777, at=figures.midnight(timezone.now()) - timedelta(seconds=1))
    today = vera.get("/admin/").context["today"]
    assert (today.requests, today.answered, today.refused, today.failed, today.cancelled) == (5, 2, 1, 1, 1)
    assert (today.prompt_tokens, today.output_tokens, today.tokens) == (1500, 200, 1700)


def test_an_empty_day_is_all_zeros(vera: Client) -> None:
    today = vera.get("/admin/").context["today"]
    assert (today.requests, today.tokens) == (0, 0)


def test_refusals_and_ending_keys_need_attention_and_lead_to_their_pages(kim: Client, ann: Actor) -> None:
    record(1, "refused", reason="queue_full")
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", expires_at=timezone.now() + timedelta(days=3))
    lines = kim.get("/admin/").context["attention"]
    assert [line.text for line in lines] == [
        "1 refused today: queue_full",
        f"The key crawler expires on {key.expires_at:%Y-%m-%d}",
    ]
    refused = kim.get(lines[0].url).context["cl"].queryset
    assert [found.request_id for found in refused] == ["r1"]
    assert kim.get(lines[1].url).status_code == 200


def test_a_key_whose_pepper_is_gone_needs_attention(kim: Client, ann: Actor, settings) -> None:
    ApiKey.objects.issue(actor=ann, name="crawler")
    settings.KEY_PEPPER = "another"
    assert "pepper" in kim.get("/admin/").context["attention"][0].text
    settings.OLD_KEY_PEPPERS = [settings.KEY_PEPPER]


def test_who_may_not_see_keys_or_usage_is_told_nothing_about_them(ann: Actor, db: None) -> None:
    from django.contrib.auth.models import User

    ApiKey.objects.issue(actor=ann, name="crawler", expires_at=timezone.now() + timedelta(days=3))
    record(1, "refused", reason="rate")
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    answer = client.get("/admin/")
    assert "today" not in answer.context
    assert answer.context["attention"] == []


def test_figures_are_kept_for_a_moment(vera: Client, django_assert_num_queries) -> None:
    start = figures.midnight(timezone.now())
    first = figures.since(start)
    record(1)
    with django_assert_num_queries(0):
        assert figures.since(start) == first


def test_a_keys_figures_are_its_own(db: None) -> None:
    record(1, prompt_tokens=5)
    record(2, prompt_tokens=7, key="zz99zz99")
    start = figures.midnight(timezone.now())
    assert figures.since(start, key="ab12cd34").prompt_tokens == 5


def test_what_is_watched_and_our_own_rows_come_first_in_the_menu(root: Client) -> None:
    watch, *apps = root.get("/admin/").context["app_list"]
    assert [page["name"] for page in watch["models"]][:2] == ["Live", "Timeline"]
    assert apps[0]["app_label"] == "bridge"
    assert [model["object_name"] for model in apps[0]["models"]] == ["ApiKey", "UsageRecord", "AuditEvent"]

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from bridge.models import Actor, ApiKey, UsageRecord
from dashboard import attention, figures
from dashboard.live import Demand
from scheduler.board.interface import Line as Waiting
from scheduler.models import LedgerEntry, Node


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
    assert [model["object_name"] for model in apps[0]["models"]] == [
        "ApiKey",
        "Team",
        "UsageRecord",
        "AuditEvent",
    ]


GIB = 2**30


@pytest.fixture
def fleet(db: None) -> dict[str, Node]:
    """One node is up with a resident of which some spilled, one hangs, one is away."""
    held = {"model": "qwen3:latest", "bytes": 6 * GIB, "spilled_bytes": 2 * GIB}
    common = {"vram_bytes": 12 * GIB, "last_seen_at": timezone.now()}
    rows = {
        "gpu1": {"state": "up", "scene": {"residents": [held]}},
        "gpu2": {"state": "quarantined", "state_reason": "A load gave no answer for 90 s."},
        "gpu3": {"state": "down", "state_reason": "connection refused"},
    }
    return {
        name: Node.objects.create(name=name, url=f"http://{name}", **(common | row))
        for name, row in rows.items()
    }


def told(client: Client) -> list[tuple[str, str]]:
    """What needs attention, without that these tests have no board and no keys."""
    lines = client.get("/admin/").context["attention"]
    return [(line.tone, line.text) for line in lines if "board" not in line.text]


def test_the_fleet_is_told_in_figures(vera: Client, fleet: dict[str, Node]) -> None:
    health = vera.get("/admin/").context["health"]
    assert (health.up, health.nodes, health.residents, health.used_share) == (1, 3, 1, 17)


def test_nodes_in_trouble_come_first_and_lead_to_their_pages(vera: Client, fleet: dict[str, Node]) -> None:
    record(1, "refused", reason="rate")
    assert told(vera) == [
        ("bad", "The node gpu2 is in quarantine: A load gave no answer for 90 s."),
        ("bad", "The node gpu3 does not answer: connection refused"),
        ("warn", "The node gpu1 has 2.0 GiB of its residents in host memory, where they are slow."),
        ("warn", "1 refused today: rate"),
    ]
    lines = vera.get("/admin/").context["attention"]
    assert {vera.get(line.url).status_code for line in lines} == {200}


def test_a_fleet_that_nobody_looks_at_is_said(vera: Client, fleet: dict[str, Node]) -> None:
    Node.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5), state="up", scene={})
    ((tone, text),) = told(vera)
    assert tone == "bad"
    assert text.startswith("No scheduler has seen a node since")


def test_failed_loads_of_a_day_are_counted_by_model_and_node(vera: Client, fleet: dict[str, Node]) -> None:
    Node.objects.update(state="up", scene={})
    day = {"outcome": "failed", "node": "gpu1", "model": "qwen3:latest"}
    for hours in (1, 2, 40):
        LedgerEntry.objects.record("load", at=timezone.now() - timedelta(hours=hours), **day)
    assert told(vera) == [("bad", "The load of qwen3:latest on gpu1 failed 2 times in 24 hours.")]


def test_lines_that_wait_long_and_a_queue_near_its_bound_need_attention(settings: Settings) -> None:
    settings.QUEUE_LIMIT = 10
    now = timezone.now()
    line: dict[str, Any] = {"waiting": 9, "num_ctx": 8192, "keys": {}, "priority": 1}
    long, new = now.timestamp() - 90, now.timestamp() - 1
    demand = Demand(lines=[Waiting(model="a", since=long, **line), Waiting(model="b", since=new, **line)])
    assert [found.text for found in attention._queue(demand, now)] == [
        "18 of 10 places in line are taken: requests of low priority are refused.",
        "9 wait for a, the first for 90 s.",
    ]


def test_a_new_bridge_says_what_it_lacks_to_who_can_add_it(ada: Client) -> None:
    assert {text for _, text in told(ada)} == {
        "No node is added yet.",
        "No key is issued yet: apps need one.",
    }


def test_keys_that_are_made_for_ten_minutes_need_no_attention(kim: Client) -> None:
    assert kim.post("/admin/try/key/").status_code == 200
    assert [text for _, text in told(kim) if "expires" in text] == []


def test_who_sees_nothing_is_not_told_that_nothing_needs_attention(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert "Needs attention" not in client.get("/admin/").content.decode()


def test_the_start_page_finds_a_request(vera: Client) -> None:
    record(1, request_id="req_1")
    assert 'name="q"' in vera.get("/admin/").content.decode()
    assert vera.get("/admin/bridge/usagerecord/?q=req_1").status_code == 302

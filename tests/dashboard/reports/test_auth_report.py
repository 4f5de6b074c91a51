"""The auth report: keys by use, refusals, what wants attention, and who signed in."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from bridge.accounting import sums
from bridge.models import ApiKey
from bridge.models.audit import Actor, Source
from tests.bridge.accounting.cast import insert, refused, row

pytestmark = pytest.mark.django_db
ANN = Actor(name="ann", source=Source.COMMAND)
NOW = timezone.now()


def key(name: str, **fields: Any) -> ApiKey:
    issued: ApiKey = ApiKey.objects.issue(actor=ANN, name=name, **fields)[0]
    return issued


def report(*filters: str) -> dict[str, Any]:
    sums.roll()
    out = io.StringIO()
    call_command("report", "auth", "--from=24h", "--json", *filters, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())["tables"]
    return found


def test_keys_are_listed_by_use() -> None:
    busy, idle = key("busy", team="red"), key("idle")
    insert(*(row(NOW - timedelta(minutes=n), key=busy.public_id) for n in range(3)))
    insert(refused(NOW, "rate", 429, key=busy.public_id), row(NOW, key="gone1234", team="", outcome="failed"))
    rows = report()["keys"]["rows"]
    assert [(r["name"], r["requests"], r["answered"], r["refused"], r["tokens"]) for r in rows] == [
        ("busy", 4, 3, 1, 450),
        ("", 1, 0, 0, 150),
        ("idle", 0, 0, 0, 0),
    ]
    assert rows[1]["state"] == "no such key"
    assert [r["name"] for r in report("--team=red")["keys"]["rows"]] == ["busy"]
    assert [r["name"] for r in report(f"--key={idle.public_id}")["keys"]["rows"]] == ["idle"]


def test_refusals_are_told_by_reason_and_address() -> None:
    insert(*(refused(NOW, "unknown_key", key="", address="192.0.2.7") for _ in range(3)))
    insert(refused(NOW, "no_scope", 403, key=key("narrow").public_id, address="192.0.2.8"))
    first, second = report()["refusals"]["rows"]
    assert (first["reason"], first["address"], first["requests"], first["status"]) == (
        "unknown_key",
        "192.0.2.7",
        3,
        401,
    )
    assert (second["reason"], second["name"]) == ("no_scope", "narrow")


def test_attention_goes_to_keys_unused_expiring_nearly_spent_and_ended_but_tried() -> None:
    month_ago = NOW - timedelta(days=40)
    quiet, never = key("quiet"), key("never")
    ApiKey.objects.filter(pk__in=(quiet.pk, never.pk)).update(created_at=month_ago)
    ApiKey.objects.filter(pk=quiet.pk).update(last_used_at=NOW - timedelta(days=31))
    key("ending", expires_at=NOW + timedelta(days=7))
    spender = key("spender", budget_tokens_day=180)
    insert(row(NOW, key=spender.public_id))
    ended, silent = key("ended"), key("silent")
    ended.revoke(ANN)
    silent.revoke(ANN)
    insert(refused(NOW, "revoked", key=ended.public_id))
    told = {(each["why"], each["name"]): each["what"] for each in report()["attention"]["rows"]}
    assert set(told) == {
        ("unused", "quiet"),
        ("unused", "never"),
        ("expires", "ending"),
        ("near a limit", "spender"),
        ("still tried", "ended"),
    }
    assert told["near a limit", "spender"] == "150 of 180 tokens a day"
    assert told["still tried", "ended"] == "revoked, and tried 1 times"
    assert told["unused", "never"] == "never used"


def test_sign_ins_failures_and_lockouts_are_told_by_user_and_address() -> None:
    AccessLog.objects.create(username="vera", ip_address="192.0.2.1")
    for locked in (False, True):
        AccessFailureLog.objects.create(username="root", ip_address="192.0.2.9", locked_out=locked)
    AccessAttempt.objects.create(username="root", ip_address="192.0.2.9", failures_since_start=10)
    first, second = report()["sign_ins"]["rows"]
    assert (first["user"], first["failed"], first["locked_out"], first["locked_now"]) == ("root", 2, 1, True)
    assert (second["user"], second["signed_in"], second["failed"], second["locked_now"]) == (
        "vera",
        1,
        0,
        False,
    )


def test_a_failed_sign_in_is_kept_for_the_report(client: Client, settings: Any) -> None:
    settings.AXES_ENABLED = True
    client.post("/admin/login/", {"username": "nobody", "password": "guess"}, REMOTE_ADDR="192.0.2.3")
    (failed,) = report()["sign_ins"]["rows"]
    assert (failed["user"], failed["address"], failed["failed"]) == ("nobody", "192.0.2.3", 1)


def test_the_page_shows_keys_and_attention(kim: Client) -> None:
    spender = key("spender", budget_money_day="0.00")
    insert(row(NOW, key=spender.public_id))
    sums.roll()
    text = kim.get("/admin/reports/auth/").content.decode()
    assert "0.00 of 0.00 USD a day" in text
    assert "150" in text
    start = kim.get("/admin/").content.decode()
    assert "/admin/reports/auth/" in start
    assert "/admin/reports/vram/" not in start

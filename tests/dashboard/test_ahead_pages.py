"""Workflows and warm prefixes in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from bridge.models import Actor, ApiKey, AuditEvent
from scheduler.models import Alias, CatalogModel, WarmPrefix, Workflow
from scheduler.models.warm_prefix import prefix_digest

WORKFLOWS = "/admin/scheduler/workflow/"
PREFIXES = "/admin/scheduler/warmprefix/"


def workflow(**fields: Any) -> dict[str, Any]:
    return {"name": "rag", "enabled": "on", "sequence": "nomic-embed-text, qwen3:8b", "keys": ""} | fields


def prefix(**fields: Any) -> dict[str, Any]:
    given = {"model": "qwen3:8b", "enabled": "on", "route": "chat", "think": "", "tools": "[]"}
    return given | {"system": "You answer in verse."} | fields


def test_a_workflow_is_written_in_one_line_and_audited(olga: Client) -> None:
    answer = olga.post(f"{WORKFLOWS}add/", workflow())
    assert answer.status_code == 302, answer.content.decode()
    kept = Workflow.objects.get()
    assert kept.sequence == ["nomic-embed-text:latest", "qwen3:8b"]
    assert AuditEvent.objects.get().action == "workflow.add"
    assert "nomic-embed-text:latest → qwen3:8b" in olga.get(WORKFLOWS).content.decode()


def test_a_workflow_of_a_rotated_key_is_that_of_its_account(olga: Client, ann: Actor) -> None:
    first, _ = ApiKey.objects.issue(actor=ann, name="app")
    second, _ = first.rotate(ann, timedelta(hours=1))
    assert olga.post(f"{WORKFLOWS}add/", workflow(keys=second.public_id)).status_code == 302
    assert Workflow.objects.get().keys == [first.public_id]


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": "qwen3:8b"},
        {"sequence": ", ".join(f"m{i}" for i in range(17))},
        {"sequence": "qwen3:8b, a b:c:d"},
        {"keys": "nobody00"},
    ],
)
def test_a_wrong_workflow_is_refused_beside_its_field(olga: Client, fields: dict[str, str]) -> None:
    answer = olga.post(f"{WORKFLOWS}add/", workflow(**fields))
    assert list(answer.context["adminform"].form.errors) == list(fields)


@pytest.mark.django_db
def test_aliases_in_a_workflow_mean_their_models() -> None:
    CatalogModel.objects.create(name="qwen3:8b")
    Alias.objects.create(name="fast:latest", model="qwen3:8b")
    assert Workflow(name="w", sequence=["fast:latest", "b:latest"]).resolved() == ("qwen3:8b", "b:latest")


def test_a_prefix_is_registered_and_its_text_stays_out_of_the_audit_log(olga: Client) -> None:
    answer = olga.post(f"{PREFIXES}add/", prefix())
    assert answer.status_code == 302, answer.content.decode()
    kept = WarmPrefix.objects.get()
    assert (kept.digest, kept.bytes) == prefix_digest("chat", "You answer in verse.", [], "")
    event = AuditEvent.objects.get()
    assert event.action == "prefix.add"
    assert "verse" not in str(event.after)
    assert "You answer in verse." in olga.get(PREFIXES).content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"system": "", "tools": "[]"},
        {"tools": '[{"type": "function"}]'},
        {"tools": '{"type": "function"}'},
        {"route": "generate", "tools": '[{"type": "function", "function": {"name": "f"}}]'},
        {"system": "x" * 300_000},
        {"model": "a b"},
    ],
)
def test_a_wrong_prefix_is_refused(olga: Client, fields: dict[str, str]) -> None:
    answer = olga.post(f"{PREFIXES}add/", prefix(**fields))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    assert not WarmPrefix.objects.exists()


def test_a_prefix_cannot_be_registered_twice(olga: Client) -> None:
    olga.post(f"{PREFIXES}add/", prefix())
    assert "is there already" in olga.post(f"{PREFIXES}add/", prefix()).content.decode()


def test_what_traffic_brought_shows_as_a_hash_until_its_text_is_learned(olga: Client) -> None:
    row = WarmPrefix.objects.create(model="qwen3:8b", digest="ab" * 32, source="traffic", seen=40, bytes=900)
    assert "hash only" in olga.get(PREFIXES).content.decode()
    answer = olga.post(f"{PREFIXES}{row.pk}/change/", prefix(system="", learn="on"))
    assert answer.status_code == 302, answer.content.decode()
    row.refresh_from_db()
    assert (row.learn, row.digest, row.seen) == (True, "ab" * 32, 40)
    assert "learning" in olga.get(PREFIXES).content.decode()


def test_viewers_see_workflows_but_not_what_apps_say_to_models(vera: Client) -> None:
    assert vera.get(WORKFLOWS).status_code == 200
    assert vera.get(PREFIXES).status_code == 403

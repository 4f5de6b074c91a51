from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bridge.models import AuditEvent
from scheduler.models import CATALOGUE, CatalogModel, Node, OperatorRequest, Revision

LIST = "/admin/scheduler/node/"
GIB = 2**30


def form(**fields: Any) -> dict[str, Any]:
    return {"name": "gpu1", "url": "http://gpu1:11434", "enabled": "on", "kv_type": "f16"} | fields


@pytest.fixture
def node(db: None) -> Node:
    return Node.objects.create(name="gpu1", url="http://gpu1:11434", vram_bytes=24 * GIB)


def page(client: Client, node: Node) -> str:
    answer = client.get(f"{LIST}{node.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_node_is_added_audited_and_told_to_snapshots(olga: Client) -> None:
    before = Revision.objects.number(CATALOGUE)
    answer = olga.post(f"{LIST}add/", form(url="gpu1", vram_bytes="24 GiB", slots="4"))
    assert answer.status_code == 302, answer.content.decode()
    node = Node.objects.get()
    assert (node.url, node.vram_bytes, node.parallel) == ("http://gpu1:11434", 24 * GIB, 4)
    event = AuditEvent.objects.get()
    assert (event.action, event.target, event.actor, event.source) == ("node.add", "gpu1", "olga", "admin")
    assert Revision.objects.number(CATALOGUE) > before


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://gpu1"},
        {"name": "a b"},
        {"slots": "0"},
        {"vram_bytes": "much"},
        {"agent_url": "http://user:secret@gpu1"},
        {"url": "http://taken"},
    ],
)
def test_a_wrong_node_is_refused_beside_its_field(olga: Client, fields: dict[str, str]) -> None:
    Node.objects.create(name="taken", url="http://taken:11434")
    answer = olga.post(f"{LIST}add/", form(**fields))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == list(fields)
    assert Node.objects.count() == 1


def test_a_change_keeps_what_was_observed(olga: Client, node: Node) -> None:
    node.saw(version="0.33.0")
    olga.post(f"{LIST}{node.pk}/change/", form(vram_bytes="24 GiB", note="rack 3"))
    node.refresh_from_db()
    assert (node.note, node.version, node.state) == ("rack 3", "0.33.0", "up")
    assert AuditEvent.objects.get().after == {"note": "rack 3"}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"state": "up"}, "up"),
        ({"state": "up", "draining": True}, "draining"),
        ({"state": "down", "draining": True}, "down"),
        ({"state": "quarantined"}, "quarantined"),
        ({"state": "up", "enabled": False}, "disabled"),
    ],
)
def test_the_list_says_what_keeps_a_node_from_work(
    vera: Client, node: Node, fields: dict[str, Any], word: str
) -> None:
    Node.objects.update(**fields, state_reason="why it is so")
    shown = vera.get(LIST).content.decode()
    assert f">{word}</span>" in shown
    assert "why it is so" in shown


def test_readings_of_gpus_are_on_the_page(vera: Client, node: Node) -> None:
    assert "come from the node&#x27;s /api/ps" in page(vera, node)
    gpu = {"uuid": "GPU-1", "name": "H100", "total": 80 * GIB, "free": 61 * GIB, "util": 43, "power_w": None}
    node.read_gpus([gpu], timezone.now())
    shown = page(vera, node)
    assert all(text in shown for text in ("GPU-1", "61.0 GiB", "80.0 GiB", "43 %"))
    assert "61.0 GiB free" in vera.get(LIST).content.decode()


def test_its_models_are_linked(vera: Client, node: Node) -> None:
    model = CatalogModel.objects.create(name="llama3.2:latest")
    node.copies.create(model=model, digest="d", size_bytes=1, seen_at=timezone.now())
    assert f"/admin/scheduler/catalogmodel/{model.pk}/change/" in page(vera, node)


@pytest.mark.parametrize("kind", ["drain", "undrain"])
def test_a_drain_is_asked_of_the_scheduler(olga: Client, node: Node, kind: str) -> None:
    act = {"action": f"{kind}_selected", "_selected_action": [node.pk]}
    assert "Asked of the scheduler" in olga.post(LIST, act, follow=True).content.decode()
    asked = OperatorRequest.objects.get()
    assert (asked.kind, asked.node, asked.asked_by, asked.state) == (kind, "gpu1", "olga", "asked")
    node.refresh_from_db()
    assert not node.draining, "carrying it out is the scheduler's work"
    assert AuditEvent.objects.get().action == f"node.{kind}"


def test_who_may_only_look_asks_for_nothing(vera: Client, node: Node) -> None:
    vera.post(LIST, {"action": "drain_selected", "_selected_action": [node.pk]})
    assert vera.post(f"{LIST}{node.pk}/change/", form(note="mine")).status_code == 403
    assert not OperatorRequest.objects.exists()


def test_a_node_is_deleted_with_an_audit_event(olga: Client, node: Node) -> None:
    olga.post(f"{LIST}{node.pk}/delete/", {"post": "yes"})
    assert not Node.objects.exists()
    assert AuditEvent.objects.get().action == "node.delete"

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from bridge.models import AuditEvent
from scheduler.models import CATALOGUE, Access, CatalogModel, Node, OperatorRequest, Revision
from scheduler.models.access import seal

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


SECRET = "Bearer s3cret-of-the-node"


def test_what_a_node_asks_for_is_written_audited_and_never_shown(olga: Client, node: Node) -> None:
    given = {"new_headers": f"Authorization: {SECRET}"}
    assert olga.post(f"{LIST}{node.pk}/change/", form(**given)).status_code == 302
    node.refresh_from_db()
    assert node.access.headers == (("Authorization", SECRET),)
    text = page(olga, node)
    assert "headers Authorization" in text
    assert SECRET not in text
    assert node.sealed not in text
    first = AuditEvent.objects.get(action="node.change")
    assert first.before["access"] == ""
    assert first.after["access"].startswith("headers Authorization (sealed ")
    assert SECRET not in str(first.after)
    assert node.sealed not in str(first.after)


def test_an_empty_field_keeps_what_is_there_and_a_tick_forgets_it(olga: Client, node: Node) -> None:
    node.sealed = seal(Access(headers=(("X-Node-Key", SECRET),)))
    node.save()
    olga.post(f"{LIST}{node.pk}/change/", form(note="rack 3"))
    node.refresh_from_db()
    assert node.access.headers == (("X-Node-Key", SECRET),)
    assert "access" not in AuditEvent.objects.latest("pk").after
    olga.post(f"{LIST}{node.pk}/change/", form(forget_access="on"))
    node.refresh_from_db()
    assert node.sealed == ""
    assert AuditEvent.objects.latest("pk").after["access"] == ""


@pytest.mark.parametrize(
    "fields",
    [{"new_headers": "Authorization"}, {"new_authority": "no certificate"}, {"new_headers": "Host: a"}],
)
def test_what_is_no_header_and_no_certificate_is_refused_beside_its_field(
    olga: Client, node: Node, fields: dict[str, str]
) -> None:
    answer = olga.post(f"{LIST}{node.pk}/change/", form(**fields))
    assert list(answer.context["adminform"].form.errors) == list(fields)


def test_a_secret_that_is_lost_is_said_and_may_be_entered_again(
    olga: Client, node: Node, settings: LazySettings
) -> None:
    node.sealed = seal(Access(headers=(("X-Node-Key", SECRET),)))
    node.save()
    settings.NODE_SECRETS = ("another",)
    assert "BRIDGE_OLD_NODE_SECRETS" in page(olga, node)
    olga.post(f"{LIST}{node.pk}/change/", form(new_headers="X-Node-Key: b"))
    node.refresh_from_db()
    assert node.access.headers == (("X-Node-Key", "b"),)


def test_who_may_only_read_cannot_point_a_node_elsewhere(vera: Client, node: Node) -> None:
    """A request that the bridge is made to send goes where an operator said, and nowhere else."""
    answer = vera.post(f"{LIST}{node.pk}/change/", form(url="http://169.254.169.254"))
    assert answer.status_code == 403
    node.refresh_from_db()
    assert node.url == "http://gpu1:11434"

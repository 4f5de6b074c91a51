from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bridge.models import AuditEvent
from scheduler.models import Alias, CatalogModel, ModelOnNode, Node, OperatorRequest

LIST = "/admin/scheduler/catalogmodel/"
ALIASES = "/admin/scheduler/alias/"
INLINE = {"copies-TOTAL_FORMS": "0", "copies-INITIAL_FORMS": "0"}


def hold(node: str, model: CatalogModel, digest: str, **fields: Any) -> ModelOnNode:
    where, _ = Node.objects.get_or_create(name=node, defaults={"url": f"http://{node}:11434"})
    return where.copies.create(model=model, digest=digest, size_bytes=2**31, seen_at=timezone.now(), **fields)


@pytest.fixture
def llama(db: None) -> CatalogModel:
    llama = CatalogModel.objects.create(
        name="llama3.2:latest", trained_ctx=131072, capabilities=["completion", "tools"], family="llama"
    )
    hold("gpu1", llama, "a" * 64)
    return llama


def form(**fields: Any) -> dict[str, Any]:
    return {"enabled": "on", "min_replicas": "0", "on_spill": "alert", **INLINE} | fields


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return [model.name for model in answer.context["cl"].result_list]


def test_policy_is_set_and_audited_and_facts_stay(olga: Client, llama: CatalogModel) -> None:
    answer = olga.post(f"{LIST}{llama.pk}/change/", form(num_ctx="16384", buckets="32768, 8192, 16384"))
    assert answer.status_code == 302, answer.content.decode()
    llama.refresh_from_db()
    assert (llama.num_ctx, llama.buckets, llama.name) == (16384, [8192, 16384, 32768], "llama3.2:latest")
    event = AuditEvent.objects.get()
    assert (event.action, event.target) == ("model.change", "llama3.2:latest")
    assert event.after == {"num_ctx": 16384, "buckets": [8192, 16384, 32768]}
    assert llama.copies.count() == 1


@pytest.mark.parametrize("fields", [{"num_ctx": "200000"}, {"buckets": "some"}, {"slots": "0"}])
def test_a_policy_that_cannot_hold_is_refused(
    olga: Client, llama: CatalogModel, fields: dict[str, str]
) -> None:
    answer = olga.post(f"{LIST}{llama.pk}/change/", form(**fields))
    assert list(answer.context["adminform"].form.errors) == list(fields)


def test_drift_is_shown_in_the_list_and_on_the_page(vera: Client, llama: CatalogModel) -> None:
    assert ">ready</span>" in vera.get(LIST).content.decode()
    hold("gpu2", llama, "a" * 64)
    hold("gpu3", llama, "b" * 64)
    assert ">nodes differ</span>" in vera.get(LIST).content.decode()
    page = vera.get(f"{LIST}{llama.pk}/change/").content.decode()
    assert page.count(">differs</span>") == 1
    assert page.index("b" * 12) < page.index(">differs</span>")


def test_the_page_says_what_vram_each_copy_needs(vera: Client, llama: CatalogModel) -> None:
    assert "VRAM needed" in vera.get(f"{LIST}{llama.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?copies=drift", ["drifting:latest"]),
        ("?copies=none", ["lost:latest"]),
        ("?node=gpu2", ["drifting:latest"]),
        ("?capability=tools", ["llama3.2:latest"]),
        ("?q=lost", ["lost:latest"]),
    ],
)
def test_filters_find(vera: Client, llama: CatalogModel, query: str, found: list[str]) -> None:
    drifting = CatalogModel.objects.create(name="drifting:latest", capabilities=["embedding"])
    hold("gpu1", drifting, "c")
    hold("gpu2", drifting, "d")
    CatalogModel.objects.create(name="lost:latest")
    assert listed(vera, query) == found


def test_the_list_costs_the_same_for_many_models(vera: Client, llama: CatalogModel) -> None:
    with CaptureQueriesContext(connection) as one:
        listed(vera)
    for number in range(20):
        hold(f"gpu{number}", CatalogModel.objects.create(name=f"m{number}:latest"), f"d{number}")
    with CaptureQueriesContext(connection) as many:
        assert len(listed(vera)) == 21
    assert len(many) <= len(one) + 1


def test_entries_come_from_nodes_and_go_with_them(root: Client, llama: CatalogModel) -> None:
    assert root.get(f"{LIST}add/").status_code == 403
    assert root.post(f"{LIST}{llama.pk}/delete/", {"post": "yes"}).status_code == 403
    lost = CatalogModel.objects.create(name="lost:latest", note="tuned once")
    root.post(f"{LIST}{lost.pk}/delete/", {"post": "yes"})
    assert listed(root) == ["llama3.2:latest"]


@pytest.mark.parametrize("kind", ["load", "pin", "unpin"])
def test_loads_and_pins_are_asked_of_the_scheduler(olga: Client, llama: CatalogModel, kind: str) -> None:
    olga.post(LIST, {"action": f"{kind}_selected", "_selected_action": [llama.pk]})
    asked = OperatorRequest.objects.get()
    assert (asked.kind, asked.model, asked.node) == (kind, "llama3.2:latest", "")
    assert AuditEvent.objects.get().action == f"model.{kind}"


class TestAlias:
    def test_it_is_made_and_audited(self, olga: Client, llama: CatalogModel) -> None:
        assert "Choose a model" in olga.get(f"{ALIASES}add/").content.decode()
        olga.post(f"{ALIASES}add/", {"name": "GPT-4o", "model": "llama3.2:latest"})
        assert Alias.objects.mapping() == {"gpt-4o:latest": "llama3.2:latest"}
        assert AuditEvent.objects.get().action == "alias.add"

    @pytest.mark.parametrize(
        "fields",
        [
            {"name": "llama3.2", "model": "llama3.2:latest"},
            {"name": "x", "model": "x"},
            {"name": "x", "model": "gone"},
        ],
    )
    def test_a_wrong_one_is_refused(self, olga: Client, llama: CatalogModel, fields: dict[str, str]) -> None:
        assert olga.post(f"{ALIASES}add/", fields).status_code == 200
        assert not Alias.objects.exists()

    def test_the_list_says_which_serve(self, vera: Client, llama: CatalogModel) -> None:
        for name, model in (("good", "llama3.2"), ("bad", "gone"), ("llama3.2", "gone")):
            Alias.objects.create(name=f"{name}:latest", model=f"{model}:latest")
        page = vera.get(ALIASES).content.decode()
        assert all(f">{word}</span>" in page for word in ("in force", "leads nowhere", "hidden"))

"""The page that tries a model: who may, and what key it gets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from bridge.models import ApiKey, AuditEvent
from dashboard import tryit
from scheduler.models import CatalogModel, Node

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalogue() -> None:
    node = Node.objects.create(name="gpu1", url="http://gpu1")
    kinds = {"qwen3:8b": ["completion"], "nomic-embed-text:latest": ["embedding"], "old:latest": []}
    for name, capabilities in kinds.items():
        model = CatalogModel.objects.create(name=name, capabilities=capabilities)
        model.copies.create(node=node, digest=name, size_bytes=1, seen_at=timezone.now())
    CatalogModel.objects.create(name="gone:latest", capabilities=["completion"])


@pytest.mark.usefixtures("catalogue")
def test_it_offers_the_models_that_generate_text(olga: Client) -> None:
    page = olga.get("/admin/try/?model=qwen3:8b")
    assert page.context["models"] == ["old:latest", "qwen3:8b"]
    text = page.content.decode()
    assert "<option selected>qwen3:8b</option>" in text
    assert "style=" not in text


def test_its_key_is_short_lived_narrow_audited_and_in_the_operators_name(olga: Client) -> None:
    reply = olga.post("/admin/try/key/")
    assert "no-store" in reply["Cache-Control"]
    key = ApiKey.objects.get()
    assert ApiKey.objects.named(reply.json()["key"]) == key
    assert (key.owner, key.scopes, key.parallel) == ("olga", ["chat"], 2)
    assert key.expires_at is not None
    assert key.expires_at - timezone.now() <= timedelta(minutes=10)
    event = AuditEvent.objects.get(action="key.issue")
    assert (event.actor, event.target) == ("olga", key.public_id)


def test_a_persons_keys_draw_on_one_budget_and_their_number_is_bounded(olga: Client, ada: Client) -> None:
    for _ in range(tryit.MOST_KEYS):
        assert olga.post("/admin/try/key/").status_code == 200
    assert olga.post("/admin/try/key/").status_code == 429
    assert ada.post("/admin/try/key/").status_code == 200
    assert ApiKey.objects.values("account").distinct().count() == 2


def test_who_only_looks_gets_neither_page_nor_key_nor_link(vera: Client) -> None:
    assert vera.get("/admin/try/").status_code == 403
    assert vera.post("/admin/try/key/").status_code == 403
    assert not ApiKey.objects.exists()
    assert "/admin/try/" not in vera.get("/admin/").content.decode()


def test_who_hands_out_keys_may_try_one(kim: Client) -> None:
    assert kim.get("/admin/try/").status_code == 200
    assert "/admin/try/" in kim.get("/admin/").content.decode()


def test_a_key_is_asked_for_by_post_alone(olga: Client) -> None:
    assert olga.get("/admin/try/key/").status_code == 405

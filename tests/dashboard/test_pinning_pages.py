from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from bridge.models import AuditEvent
from scheduler.models import CatalogModel, Node, PinningPolicy

LIST = "/admin/scheduler/pinningpolicy/"


def form(**fields: Any) -> dict[str, Any]:
    given = {"name": "office", "enabled": "on", "model": "qwen3:*", "nodes": "*", "min_replicas": "1"}
    return given | {"priority": "0", "time_zone": "Europe/Berlin", "windows": "mon-fri 08:00-18:00"} | fields


def test_a_policy_is_written_in_lines_and_kept_as_windows(olga: Client) -> None:
    answer = olga.post(f"{LIST}add/", form())
    assert answer.status_code == 302, answer.content.decode()
    policy = PinningPolicy.objects.get()
    assert policy.windows == [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]
    assert AuditEvent.objects.get().action == "pin.add"
    page = olga.get(f"{LIST}{policy.pk}/change/").content.decode()
    assert "mon-fri 08:00-18:00</textarea>" in page
    listed = olga.get(LIST).content.decode()
    assert "mon-fri 08:00-18:00 (Europe/Berlin)" in listed


@pytest.mark.parametrize(
    "fields",
    [
        {"windows": "whenever"},
        {"min_replicas": "0"},
        {"time_zone": "Mars/Olympus"},
        {"windows": "mon 08:00-08:00"},
    ],
)
def test_a_wrong_policy_is_refused_beside_its_field(olga: Client, fields: dict[str, str]) -> None:
    answer = olga.post(f"{LIST}add/", form(**fields))
    assert list(answer.context["adminform"].form.errors) == list(fields)


def test_pins_that_cannot_be_kept_together_are_refused_and_explained(olga: Client) -> None:
    node = Node.objects.create(name="gpu1", url="http://gpu1:11434", vram_bytes=24 * 10**9)
    for name in ("qwen3:32b", "qwen3:30b"):
        model = CatalogModel.objects.create(name=name)
        model.copies.create(node=node, digest=name, size_bytes=19 * 10**9, seen_at=timezone.now())
    answer = olga.post(f"{LIST}add/", form())
    assert "where other pins leave" in answer.content.decode()
    assert not PinningPolicy.objects.exists()


def test_the_list_says_what_a_pattern_means_now(vera: Client) -> None:
    for size in (4, 8, 14, 32):
        CatalogModel.objects.create(name=f"qwen3:{size}b")
    PinningPolicy.objects.create(name="p", model="qwen3:*")
    PinningPolicy.objects.create(name="q", model="gone", enabled=False)
    page = vera.get(LIST).content.decode()
    assert "and 1 more" in page
    assert all(f">{word}</span>" in page for word in ("in force", "disabled"))
    assert "always" in page


GB = 10**9


def resident(model: str, size: int) -> dict[str, Any]:
    return {
        "model": model,
        "bytes": size,
        "spilled_bytes": 0,
        "num_ctx": 8192,
        "slots": 1,
        "kv_type": "f16",
        "loaded_at": 1.0,
        "load_s": 2.0,
        "cause": "demand",
        "accepting": True,
    }


@pytest.fixture
def full(db: None) -> Node:
    """gpu1 has room for one of its two models, and gemma3 is resident."""
    node = Node.objects.create(
        name="gpu1",
        url="http://gpu1:11434",
        vram_bytes=24 * GB,
        state="up",
        scene={"residents": [resident("gemma3:27b", 17 * GB)]},
    )
    for name in ("gemma3:27b", "qwen3:30b"):
        model = CatalogModel.objects.create(name=name)
        model.copies.create(node=node, digest=name, size_bytes=17 * GB, seen_at=timezone.now())
    return node


@pytest.mark.usefixtures("full")
def test_what_would_be_evicted_is_shown_before_it_is_saved(olga: Client) -> None:
    shown = olga.post(f"{LIST}add/", form())
    assert "<strong>Evict gemma3:27b</strong> from gpu1 to load" in shown.content.decode()
    assert "errornote" not in shown.content.decode()
    assert not PinningPolicy.objects.exists()
    again = form(seen=shown.context["adminform"].form["seen"].value())
    assert olga.post(f"{LIST}add/", again).status_code == 302
    assert PinningPolicy.objects.get().model == "qwen3:*"


def test_other_evictions_than_those_that_were_seen_are_shown_again(olga: Client, full: Node) -> None:
    seen = olga.post(f"{LIST}add/", form()).context["adminform"].form["seen"].value()
    model = CatalogModel.objects.create(name="mistral:latest")
    model.copies.create(node=full, digest="mistral", size_bytes=17 * GB, seen_at=timezone.now())
    full.scene = {"residents": [resident("mistral:latest", 17 * GB)]}
    full.save()
    shown = olga.post(f"{LIST}add/", form(seen=seen)).content.decode()
    assert "<strong>Evict mistral:latest</strong>" in shown
    assert not PinningPolicy.objects.exists()


@pytest.mark.usefixtures("full")
def test_a_preview_saves_nothing_even_where_nothing_goes(olga: Client) -> None:
    shown = olga.post(f"{LIST}add/", form(model="gemma3:27b", _preview="Preview")).content.decode()
    assert "Keep gemma3:27b on gpu1, where it is resident." in shown
    assert "as if a window were open" in shown
    assert not PinningPolicy.objects.exists()


@pytest.mark.usefixtures("full")
def test_a_policy_that_is_switched_off_evicts_nothing_and_is_saved_at_once(olga: Client) -> None:
    off = {name: value for name, value in form().items() if name != "enabled"}
    assert olga.post(f"{LIST}add/", off).status_code == 302
    assert not PinningPolicy.objects.get().enabled


def test_who_only_looks_sees_a_policy_without_its_form(vera: Client) -> None:
    policy = PinningPolicy.objects.create(name="p", model="qwen3:8b")
    page = vera.get(f"{LIST}{policy.pk}/change/")
    assert page.status_code == 200
    assert "_preview" not in page.content.decode()

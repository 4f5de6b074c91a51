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

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from scheduler.models import CatalogModel, LedgerEntry, Measurement, Node, OperatorRequest

LEDGER = "/admin/scheduler/ledgerentry/"


@pytest.fixture
def entry(db: None) -> LedgerEntry:
    return LedgerEntry.objects.record(
        "load",
        node="gpu1",
        model="qwen3:8b",
        cause="demand",
        key="ab12cd34",
        seconds=3.21,
        bytes=6 * 2**30,
        outcome="ok",
        reason="Four requests waited.",
    )


def test_the_ledger_tells_each_decision(vera: Client, entry: LedgerEntry) -> None:
    listed = vera.get(LEDGER).content.decode()
    page = vera.get(f"{LEDGER}{entry.pk}/change/").content.decode()
    for text in ("qwen3:8b", "gpu1", "demand", "ab12cd34", "3.21 s", "6.0 GiB", "Four requests waited."):
        assert text in listed
        assert text in page


def test_the_ledger_is_found_by_model_node_or_key(vera: Client, entry: LedgerEntry) -> None:
    LedgerEntry.objects.record("evict", node="gpu2", model="other:latest")
    for term in ("qwen3:8b", "gpu1", "ab12cd34"):
        found = vera.get(LEDGER, {"q": term}).context["cl"].result_list
        assert [each.pk for each in found] == [entry.pk]


@pytest.mark.parametrize("rows", ["ledgerentry", "operatorrequest", "measurement"])
def test_nobody_writes_what_programs_write(root: Client, entry: LedgerEntry, rows: str) -> None:
    assert root.get(f"/admin/scheduler/{rows}/add/").status_code == 403
    assert root.get(f"/admin/scheduler/{rows}/").status_code == 200
    assert root.post(f"{LEDGER}{entry.pk}/delete/", {"post": "yes"}).status_code == 403


def test_requests_of_operators_show_what_came_of_them(vera: Client) -> None:
    Node.objects.create(name="gpu1", url="http://gpu1:11434")
    OperatorRequest.objects.ask("drain", node="gpu1", asked_by="olga").finish("done", "Empty after 12 s.")
    OperatorRequest.objects.ask("load", model="qwen3:8b", asked_by="olga")
    page = vera.get("/admin/scheduler/operatorrequest/").content.decode()
    assert all(text in page for text in (">done</span>", "Empty after 12 s.", ">asked</span>", "qwen3:8b"))


def test_measurements_name_the_models_of_a_digest(vera: Client) -> None:
    node = Node.objects.create(name="gpu1", url="http://gpu1:11434")
    model = CatalogModel.objects.create(name="qwen3:8b")
    model.copies.create(node=node, digest="d", size_bytes=1, seen_at=timezone.now())
    profile = {"node": "gpu1", "digest": "d", "num_ctx": 8192, "slots": 4, "kv_type": "f16"}
    Measurement.objects.learn(**profile, size_bytes=3 * 2**30, size_vram=2**30, load_s=4.2)
    page = vera.get("/admin/scheduler/measurement/").content.decode()
    assert all(text in page for text in ("qwen3:8b", "1.0 GiB", "2.0 GiB", "4.20 s"))

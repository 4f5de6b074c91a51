"""`doctor`, each finding brought about for real: nodes are processes, the database is a database."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from datetime import timedelta
from io import StringIO

import httpx
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from scheduler import catalogue
from scheduler.management import doctor
from scheduler.models import ModelOnNode, Node, OperatorRequest, PinningPolicy
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.commands.conftest import Manage

pytestmark = pytest.mark.django_db(transaction=True)
Found = dict[str, list[tuple[str, str]]]


@pytest.fixture
def node(fake_node: FakeNode, transactional_db: None) -> NodeProcess:
    node = fake_node("a=2@131072", vram_gib=24, slots=4)
    Node.objects.create(name="n1", url=node.url, vram_bytes=24 * 2**30, slots=4)
    asyncio.run(catalogue.sync())
    return node


def look(*, fails: bool = False) -> Found:
    """Level and words of each finding, by check."""
    out = StringIO()
    with pytest.raises(CommandError, match="checks failed") if fails else nullcontext():
        call_command("doctor", "--json", stdout=out)
    by: Found = {}
    for each in json.loads(out.getvalue()):
        assert each["cure"] or each["level"] == "ok" or each["check"] == "settings", each
        by.setdefault(each["check"], []).append((each["level"], each["said"]))
    return by


def test_all_is_well(node: NodeProcess, manage: Manage) -> None:
    by = look()
    assert by["database"] == [("ok", "sqlite answers.")]
    assert by["migrations"] == [("ok", "All are applied.")]
    assert by["catalogue"] == [("ok", "1 models on 1 nodes.")]
    assert by["board"][0][0] == by["node n1"][0][0] == by["scheduler"][0][0] == "ok"
    assert "\tnode n1\tOllama 0.32.15 answers in " in manage("doctor")


def test_a_node_that_is_down_fails_with_its_cure(node: NodeProcess) -> None:
    node.kill()
    assert look(fails=True)["node n1"][0][0] == "fail"


def test_no_node_at_all_fails(transactional_db: None) -> None:
    assert look(fails=True)["nodes"] == [("fail", "There is none.")]


def test_slots_that_the_sizes_contradict_are_told(node: NodeProcess) -> None:
    Node.objects.update(slots=1)
    body = {"model": "a", "options": {"num_ctx": 32768}}
    httpx.post(f"{node.url}/api/generate", json=body, timeout=10, trust_env=False).raise_for_status()
    said = [said for level, said in look()["node n1"] if level == "warn"]
    assert len(said) == 1
    assert "as with 4 slots; the node's row says 1." in said[0]
    Node.objects.update(slots=4)
    assert all(level == "ok" for level, _ in look()["node n1"])


def test_vram_that_nobody_told_is_asked_for(node: NodeProcess) -> None:
    Node.objects.update(vram_bytes=None)
    assert ("warn", "How much VRAM it has is not known: three models at most are loaded at once.") in look()[
        "node n1"
    ]


def test_what_lies_in_host_memory_is_told(fake_node: FakeNode, transactional_db: None) -> None:
    node = fake_node("big=10", vram_gib=8)
    Node.objects.create(name="n1", url=node.url, vram_bytes=8 * 2**30)
    asyncio.run(catalogue.sync())
    body = {"model": "big", "options": {"num_ctx": 4096}}
    httpx.post(f"{node.url}/api/generate", json=body, timeout=10, trust_env=False).raise_for_status()
    assert any("big:latest lie in host memory" in said for _, said in look()["node n1"])


def test_a_quarantine_fails(node: NodeProcess) -> None:
    Node.objects.get().become("quarantined", "The load of a:latest gave no answer.")
    assert any("Its loads hang" in said for _, said in look(fails=True)["node n1"])


def test_a_scheduler_that_is_silent_fails(node: NodeProcess) -> None:
    Node.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
    (level, said) = look(fails=True)["scheduler"][0]
    assert (level, said.startswith("None has seen a node for 12")) == ("fail", True)


def test_drift_and_an_old_catalogue_are_told(node: NodeProcess, fake_node: FakeNode) -> None:
    other = fake_node("a=3@131072")
    Node.objects.create(name="n2", url=other.url, vram_bytes=24 * 2**30)
    asyncio.run(catalogue.sync())
    assert any("a:latest is not the same everywhere" in said for _, said in look()["catalogue"])
    ModelOnNode.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert any("It was read 36" in said for _, said in look()["catalogue"])


def test_pins_that_cannot_be_kept_are_told(node: NodeProcess) -> None:
    PinningPolicy.objects.create(name="twice", model="a:latest", min_replicas=2)
    assert "twice cannot be kept" in look()["pins"][0][1]


def test_requests_that_nobody_carries_out_are_told(node: NodeProcess) -> None:
    OperatorRequest.objects.ask("load", model="a", asked_by="ann")
    OperatorRequest.objects.update(at=timezone.now() - timedelta(minutes=5))
    assert look()["requests"][0][1].startswith("1 requests of operators wait")


def test_migrations_that_are_missing_fail(transactional_db: None) -> None:
    last = MigrationRecorder.Migration.objects.filter(app="scheduler").latest("id")
    last.delete()
    try:
        (level, said) = look(fails=True)["migrations"][0]
        assert (level, "scheduler." in said) == ("fail", True)
    finally:
        last.save(force_insert=True)


def test_a_full_disk_fails(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    monkeypatch.setattr(doctor, "DISK_FAIL", 2**62)
    monkeypatch.setattr(doctor, "DISK_WARN", 2**62)
    assert look(fails=True)["disk"][0][0] == "fail"


def test_a_redis_that_does_not_answer_fails(settings: LazySettings, node: NodeProcess) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert look(fails=True)["board"][0][1].startswith("Redis does not answer")

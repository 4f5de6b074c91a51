from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest
from django.core.management import CommandError
from django.utils import timezone

from scheduler.management.commands.ps import until
from scheduler.models import Node
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.commands.conftest import Manage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(fake_node: FakeNode) -> NodeProcess:
    server = fake_node("llama3.2=2,qwen3:8b=5", vram_gib=4)
    Node.objects.create(name="a", url=server.url)
    return server


def load(server: NodeProcess, model: str) -> None:
    body = {"model": model, "keep_alive": -1, "options": {"num_ctx": 4096}}
    httpx.post(f"{server.url}/api/generate", json=body).raise_for_status()


def test_it_shows_what_is_loaded_where(manage: Manage, server: NodeProcess) -> None:
    load(server, "llama3.2")
    head, row = (line.split("\t") for line in manage("ps").splitlines())
    shown = dict(zip(head, row, strict=True))
    assert (shown["NODE"], shown["MODEL"], shown["CONTEXT"], shown["UNTIL"]) == (
        *("a", "llama3.2:latest"),
        *("4096", "for ever"),
    )
    assert shown["IN HOST MEMORY"] == ""


def test_it_shows_what_lies_in_host_memory(manage: Manage, server: NodeProcess) -> None:
    load(server, "qwen3:8b")
    (running,) = json.loads(manage("ps", "--json"))
    assert running["size_vram"] < running["size_bytes"]
    assert "GiB" in manage("ps").splitlines()[1].split("\t")[3]


def test_it_says_what_was_prefetched_and_whether_somebody_came(manage: Manage, server: NodeProcess) -> None:
    load(server, "llama3.2")
    resident = {"model": "llama3.2:latest", "cause": "prefetch", "used": False}
    Node.objects.update(scene={"residents": [resident]})
    assert manage("ps").splitlines()[1].endswith("\tprefetch, not used yet")
    Node.objects.update(scene={"residents": [resident | {"used": True}]})
    (running,) = json.loads(manage("ps", "--json"))
    assert running["came_for"] == "prefetch"


def test_an_idle_node_has_no_rows(manage: Manage, server: NodeProcess) -> None:
    assert len(manage("ps").splitlines()) == 1


def test_only_the_named_nodes_are_asked(manage: Manage, server: NodeProcess) -> None:
    Node.objects.create(name="gone", url="http://127.0.0.1:9")
    assert manage("ps", "a")
    with pytest.raises(CommandError, match="No answer from gone"):
        manage("ps")
    with pytest.raises(CommandError, match="no node nobody") as caught:
        manage("ps", "nobody")
    assert caught.value.returncode == 2


def test_a_moment_is_told_in_seconds() -> None:
    now = timezone.now()
    assert until(now + timedelta(seconds=90)) in ("89 s", "90 s")
    assert until(now - timedelta(seconds=5)) == "its requests end"
    assert until(None) == "?"

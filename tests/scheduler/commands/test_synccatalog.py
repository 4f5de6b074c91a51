from __future__ import annotations

import json

import pytest
from django.core.management import CommandError

from scheduler.models import Alias, Node
from tests.conftest import FakeNode
from tests.scheduler.commands.conftest import Manage

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_says_what_came_and_went(manage: Manage, fake_node: FakeNode) -> None:
    Node.objects.create(name="a", url=fake_node("llama3.2=2,qwen3:8b=5").url)
    assert manage("synccatalog") == "a: +llama3.2:latest +qwen3:8b\n"
    assert manage("synccatalog") == "a: no change\n"


def test_it_names_drift_and_hidden_aliases(manage: Manage, fake_node: FakeNode) -> None:
    Node.objects.create(name="a", url=fake_node("llama3.2=2").url)
    Node.objects.create(name="b", url=fake_node("llama3.2=3").url)
    Alias.objects.create(name="llama3.2:latest", model="elsewhere:latest")
    told = manage("synccatalog")
    assert "llama3.2:latest differs between nodes" in told
    assert "alias llama3.2:latest is out of force" in told


def test_a_node_that_is_silent_fails_it(manage: Manage, fake_node: FakeNode) -> None:
    gone = fake_node("llama3.2=2")
    Node.objects.create(name="a", url=gone.url)
    gone.kill()
    with pytest.raises(CommandError, match="Not read: a"):
        manage("synccatalog")


def test_json_is_one_object(manage: Manage, fake_node: FakeNode) -> None:
    Node.objects.create(name="a", url=fake_node("llama3.2=2").url)
    report = json.loads(manage("synccatalog", "--json"))
    assert (report["moved"], report["nodes"][0]["added"], report["drift"]) == (True, ["llama3.2:latest"], {})


def test_without_nodes_it_says_what_to_do(manage: Manage) -> None:
    assert "nodes add" in manage("synccatalog")

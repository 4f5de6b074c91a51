from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError

from bridge.models import AuditEvent
from scheduler.models import CatalogModel, Node
from scheduler.simulator.process import NodeProcess
from tests.conftest import FakeNode
from tests.scheduler.commands.conftest import Manage

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server(fake_node: FakeNode) -> NodeProcess:
    return fake_node("llama3.2=2,qwen3:8b=5.2")


def test_a_node_is_added_with_its_models_and_audited(manage: Manage, server: NodeProcess) -> None:
    told = manage("nodes", "add", server.url, "--name", "gpu1", "--slots", "4", "--vram", "24GiB")
    assert told == f"Added gpu1 at {server.url}: Ollama 0.32.15, 2 models.\n"
    node = Node.objects.get()
    assert (node.parallel, node.vram_total, node.copies.count()) == (4, 24 * 2**30, 2)
    event = AuditEvent.objects.get()
    assert (event.action, event.target, event.source, event.after["url"]) == (
        *("node.add", "gpu1", "command"),
        server.url,
    )


def test_a_node_is_named_after_its_host(manage: Manage, server: NodeProcess) -> None:
    manage("nodes", "add", server.url.removeprefix("http://"))
    assert Node.objects.get().name == "127.0.0.1"


def test_a_node_that_does_not_answer_is_added_all_the_same(manage: Manage, server: NodeProcess) -> None:
    server.kill()
    added = json.loads(manage("nodes", "add", server.url, "--json"))
    assert "/api/version" in added["error"]
    assert Node.objects.get().state == "down"


@pytest.mark.parametrize(
    "args",
    [
        ("ftp://gpu1",),
        ("http://gpu1", "--name", "a b"),
        ("http://gpu1", "--slots", "0"),
        ("http://gpu1", "--vram", "much"),
        ("http://taken:11434",),
        ("http://gpu1", "--name", "taken"),
    ],
)
def test_what_cannot_be_a_node_is_refused(manage: Manage, args: tuple[str, ...]) -> None:
    Node.objects.create(name="taken", url="http://taken:11434")
    with pytest.raises(CommandError):
        manage("nodes", "add", *args)
    assert Node.objects.count() == 1


def test_the_list_looks_at_each_node_now(manage: Manage, terminal: Manage, server: NodeProcess) -> None:
    manage("nodes", "add", server.url, "--name", "gpu1", "--vram", "24GiB")
    httpx.post(f"{server.url}/api/generate", json={"model": "llama3.2"}).raise_for_status()
    head, row = manage("nodes").splitlines()
    assert head.split("\t")[:4] == ["NODE", "ADDRESS", "STATE", "VERSION"]
    assert row.split("\t")[:7] == ["gpu1", server.url, "up", "0.32.15", "1", "2", "llama3.2:latest"]
    (node,) = json.loads(manage("nodes", "--json"))
    assert (node["state"], node["running"], node["vram_total_bytes"]) == (
        "up",
        ["llama3.2:latest"],
        24 * 2**30,
    )
    assert node["vram_used_bytes"] > 2_000_000_000
    drawn = terminal("nodes", "list")
    assert "gpu1" in drawn
    assert "\t" not in drawn


@pytest.mark.parametrize(
    "args", [("nodes", "--json"), ("nodes", "--json", "list"), ("nodes", "list", "--json")]
)
def test_json_may_stand_before_or_after_the_action(manage: Manage, args: tuple[str, ...]) -> None:
    assert json.loads(manage(*args)) == []


def test_an_enabled_node_that_is_silent_fails_the_list(manage: Manage, server: NodeProcess) -> None:
    manage("nodes", "add", server.url, "--name", "gpu1")
    server.kill()
    with pytest.raises(CommandError, match="No answer from gpu1") as caught:
        manage("nodes")
    assert caught.value.returncode == 1
    Node.objects.update(enabled=False)
    assert "disabled" in manage("nodes")


def test_an_empty_list_says_what_to_do(terminal: Manage) -> None:
    assert "nodes add http://host:11434" in terminal("nodes")


def test_a_node_is_removed_and_its_models_leave_with_the_next_sync(
    manage: Manage, server: NodeProcess
) -> None:
    manage("nodes", "add", server.url, "--name", "gpu1")
    assert manage("nodes", "remove", "gpu1") == "Removed gpu1.\n"
    assert AuditEvent.objects.latest("id").action == "node.delete"
    manage("synccatalog")
    assert not CatalogModel.objects.exists()
    with pytest.raises(CommandError, match="no node 'gpu1'"):
        manage("nodes", "remove", "gpu1")


def test_the_shell_sees_tabs_and_exit_codes(server: NodeProcess, tmp_path: Path) -> None:
    ours = {"DJANGO_SETTINGS_MODULE": "bridge.settings", "BRIDGE_DATA_DIR": str(tmp_path)}
    environment = os.environ | ours | {"OLLAMA_URL": server.url}

    def shell(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *args]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    early = shell("nodes")
    assert (early.returncode, "manage.py migrate" in early.stderr) == (1, True)
    assert shell("migrate", "-v0").returncode == 0
    assert shell("synccatalog").returncode == 0
    listed = shell("nodes")
    assert (listed.returncode, listed.stdout.count("\n")) == (0, 2)
    assert shell("nodes", "remove", "nobody").returncode == 2
    server.kill()
    assert shell("nodes").returncode == 1

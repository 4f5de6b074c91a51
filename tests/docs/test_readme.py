"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.bridge.served import Served
from tests.docs.pages import ROOT, Block, blocks
from tests.serving import free_port

ADDRESS = "http://127.0.0.1:8080"
README = ROOT / "README.md"
EXAMPLES = [
    block
    for page in (README, ROOT / "docs" / "quickstart.md", ROOT / "docs" / "api.md")
    for block in blocks(page)
    if block.language in ("bash", "python")
]


def run(block: Block, served: Served) -> str:
    """Its output, with the served bridge and its key in place of the reader's."""
    text = block.text.replace(ADDRESS, served.bridge.url)
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    env = kept | {"OLLAMA_BRIDGE_KEY": served.key, "PATH": path}
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    done = subprocess.run([*command, text], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_each_example_runs_and_says_something(block: Block, served: Served) -> None:
    output = run(block, served)
    assert output.strip()
    assert '"error"' not in output


def test_the_two_commands_are_targets_and_the_only_ones_needed() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    typed = re.findall(r"^make (\S+)", text, re.MULTILINE)
    assert typed == ["run", "test"]
    assert set(typed) <= set(targets)


def test_the_address_for_the_ollama_command_line_answers_what_it_asks_first(served: Served) -> None:
    (line,) = re.findall(r"^OLLAMA_HOST=(\S+) ollama run (\S+)$", README.read_text("utf-8"), re.MULTILINE)
    host = line[0].replace(ADDRESS, served.bridge.url).replace("$OLLAMA_BRIDGE_KEY", served.key)
    with httpx.Client(trust_env=False, headers={"User-Agent": "ollama/0.32.15"}) as client:
        assert client.head(f"{host}/").status_code == 200
        assert client.post(f"{host}/api/show", json={"model": line[1]}).status_code == 200
        body = {"model": line[1], "messages": [{"role": "user", "content": "Hello"}]}
        assert '"done":true' in client.post(f"{host}/api/chat", json=body).text


def test_the_screen_that_it_shows_is_what_quickstart_prints(served: Served, tmp_path: Path) -> None:
    """Each line of the excerpt, apart from what differs from run to run."""
    (screen,) = [block.text for block in blocks(README) if block.language == "console"]
    port = str(free_port())
    env = served.bridge.env | {"BRIDGE_DATA_DIR": str(tmp_path / "data"), "BRIDGE_PORT": port}
    command = [sys.executable, "manage.py", "quickstart", "--exit", "--demo"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    printed = shape(done.stdout.replace(f"127.0.0.1:{port}", "127.0.0.1:8080"))
    for line in shape(screen):
        if "No Ollama found" not in line:  # --demo does not look for one: this machine may have one
            assert line in printed


def shape(text: str) -> list[str]:
    """The lines without key, link, path and made-up words."""
    for pattern, instead in (
        (r"obk_\w+|obk_…", "KEY"),
        (r"/login/\S+", "/login/LINK"),
        (r"Data in \S+", "Data in DIR"),
        (r"  Say hello to .*", "  WORDS"),
    ):
        text = re.sub(pattern, instead, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]

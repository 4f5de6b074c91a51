"""docs/api.md and the examples of docs/commands.md show what a running bridge answers."""

from __future__ import annotations

import json
import re

import pytest

from tests.bridge.served import Served
from tests.docs.pages import ROOT

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
DIALECTS = {"Ollama": "/api/chat", "OpenAI": "/v1/chat/completions", "Anthropic": "/v1/messages"}


def told_headers(page: str) -> set[str]:
    """Names in the first column of its table of headers; `-reset-tokens` stands for the whole name."""
    table = page.rpartition("| header |")[2].split("\n\n")[0]
    names = [n.lower() for row in table.splitlines()[2:] for n in re.findall(r"`([^`]+)`", row.split("|")[1])]
    return {f"x-ratelimit{n}" if n.startswith("-") else n.partition(":")[0] for n in names}


def test_the_headers_that_are_told_come_and_no_others_of_ours(served: Served) -> None:
    key = served.bridge.key("limited", "--rpm", "1", "--tpm", "100000")
    body = served.body("/api/chat", stream=True)
    with served.bridge.client(served.key) as client:
        seen = set(client.post("/api/chat", json=body, headers={"X-Bridge-Next-Model": "none"}).headers)
    with served.bridge.client(key) as client:
        client.post("/api/chat", json=body)
        refused = client.post("/api/chat", json=body)
    assert refused.status_code == 429
    ours = ("x-", "retry-after", "server-timing")
    seen = {name for name in seen | set(refused.headers) if name.startswith(ours)}
    assert seen <= told_headers(API)
    assert told_headers(API) - seen <= {"x-should-retry"}  # which only some errors have
    assert told_headers(QUICKSTART) <= seen


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_shape_of_errors_is_the_one_that_is_told(dialect: str, served: Served) -> None:
    (told,) = re.findall(rf"^\| {dialect} \| `(.+)` \|$", API, re.MULTILINE)
    with served.bridge.client(served.key) as client:
        reply = client.post(DIALECTS[dialect], json={"model": "none", "messages": [{}], "max_tokens": 1})
    shape, body = json.loads(told), reply.json()
    assert body.keys() == shape.keys()
    if isinstance(shape["error"], dict):
        assert body["error"].keys() == shape["error"].keys()


@pytest.mark.parametrize("command", ["nodes", "ps", "listkeys", "doctor", "explain"])
def test_the_columns_in_an_example_are_the_commands_own(command: str, served: Served) -> None:
    example = COMMANDS.split(f"### `{command}`")[1].split("```")[1]
    argument = ["llama3.2"] if command == "explain" else []
    printed = served.bridge.manage(command, *argument, check=False).splitlines()
    (columns,) = [line.split("\t") for line in printed if "\t" in line][:1]
    assert "  ".join(filter(None, columns)) in re.sub(r" {2,}", "  ", example)

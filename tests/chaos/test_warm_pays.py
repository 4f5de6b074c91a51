"""A prefix that an operator registered is in the KV cache before anybody sends it, whatever the dialect."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.serving import Bridge, copied

SYSTEM = "You are the assistant of a large library and know each of its shelves by heart. " * 40
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
REGISTER = """
from scheduler.models import WarmPrefix
row = WarmPrefix(model="a", system={system!r}, tools={tools!r})
row.full_clean(exclude=["digest"])
row.save()
"""


@pytest.fixture(scope="module")
def warmed(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge whose only model is pinned, with the prefix replayed: no request has come yet."""
    directory = tmp_path_factory.mktemp("warm") / "data"
    flags = QUICK | {"ollama_version": "0.33.1", "slots": 4, "prefill_tps": 4000}
    with NodeProcess("a=2+tools", vram_gib=24, **flags) as node:
        bridge = Bridge(copied(empty_data, directory), nodes=[], BRIDGE_DEFAULT_SLOTS="4")
        try:
            bridge.manage("nodes", "add", node.url, "--name", "n1", "--vram", "24GiB", "--slots", "4")
            bridge.manage("synccatalog")
            bridge.manage("shell", "-c", REGISTER.format(system=SYSTEM, tools=TOOLS))
            bridge.manage("pin", "a")
            bridge.start()
            bridge.until(lambda: warms(bridge))
            yield bridge
        finally:
            bridge.close()


def warms(bridge: Bridge) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(bridge.data_dir / "bridge.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return [dict(r) for r in database.execute("SELECT * FROM scheduler_ledgerentry WHERE kind = 'warm'")]


def test_the_first_requests_of_two_dialects_find_the_prefix(warmed: Bridge) -> None:
    (before,) = warms(warmed)
    assert before["outcome"] == ""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is Moby Dick?"}]
    asked: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": messages, "tools": TOOLS, "max_tokens": 4},
        "/api/chat": {"messages": messages, "tools": TOOLS, "stream": False, "options": {"num_predict": 4}},
    }
    with warmed.client(warmed.key()) as client:
        replies = {path: client.post(path, json={"model": "a", **body}) for path, body in asked.items()}
    for path, reply in replies.items():
        record = warmed.record(reply.headers["x-request-id"])
        assert record["cached_tokens"] > 0.9 * record["prompt_tokens"], path
    warmed.until(lambda: warms(warmed)[0]["outcome"])
    (entry,) = warms(warmed)
    assert entry["outcome"] == "used"
    assert 0 < entry["saved_s"] <= entry["seconds"]
    counted = 'ollama_bridge_warms_ended_total{model="a:latest",node="n1",outcome="used"} 1.0'
    assert counted in warmed.get("/metrics").text

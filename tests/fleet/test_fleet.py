"""Two web processes and two schedulers on one Redis behave as one bridge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.fleet.conftest import Fleet


def ask(fleet: Fleet, key: str, number: int, **more: Any) -> httpx.Response:
    """One small chat, over the web processes in turn."""
    body = {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "one two"}],
        "stream": False,
        "options": {"num_predict": 2},
    }
    with fleet.webs[number % len(fleet.webs)].client(key) as client:
        return client.post("/api/chat", json=body | more)


def test_both_web_processes_answer_and_the_model_is_loaded_once_per_need(fleet: Fleet) -> None:
    key = fleet.key()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: ask(fleet, key, number), range(16)))
    assert {reply.status_code for reply in replies} == {200}
    for reply in replies:
        assert fleet.web.record(reply.headers["x-request-id"])["outcome"] == "answered"
    assert sum(node.report()["reloads_total"] for node in fleet.nodes) == 0
    assert max(node.report()["peak_in_flight"].get("llama3.2:latest", 0) for node in fleet.nodes) <= 4


def test_a_limit_counts_over_all_web_processes(fleet: Fleet) -> None:
    key = fleet.key("limited", "--rpm", "5")
    fleet.webs[1].until(lambda: fleet.webs[1].get("/v1/models", key).status_code == 200)
    statuses = [ask(fleet, key, number).status_code for number in range(8)]
    assert statuses.count(200) == 5
    assert statuses.count(429) == 3


def test_a_revocation_reaches_every_web_process_within_a_second(fleet: Fleet) -> None:
    key = fleet.key()
    for web in fleet.webs:
        web.until(lambda web=web: web.get("/v1/models", key).status_code == 200)
    fleet.web.manage("revokekey", key.split("_")[1])
    for web in fleet.webs:
        web.until(lambda web=web: web.get("/v1/models", key).status_code == 401, within_s=1.0)

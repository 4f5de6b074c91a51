"""Limits of a key and bounds of the lines, as a client meets them: status, headers, shape, and exactness."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK, FakeNode, Serve
from tests.serving import PATIENCE_S, Bridge, copied

CROWD = 50
QUEUE = 20
PROSE = "The quick brown fox jumps over the lazy dog. " * 3
DIALECTS = ("/api/chat", "/v1/chat/completions", "/v1/messages")


def asking(served: Served, route: str, tokens: int, *, stream: bool = False) -> dict[str, Any]:
    """A request for so many output tokens."""
    limit = {"options": {"num_predict": tokens}} if route.startswith("/api/") else {"max_tokens": tokens}
    messages = [{"role": "user", "content": PROSE}]
    return served.body(route, stream=stream, messages=messages, **limit)


def assert_refused(reply: httpx.Response, status: int, route: str = "/api/chat") -> str:
    """The message, after a look at the dialect's shape."""
    assert reply.status_code == status, reply.text
    assert reply.headers["x-request-id"].startswith("req_")
    error = reply.json()["error"]
    if route.startswith("/api/"):
        assert isinstance(error, str)
        return str(error)
    assert error["type"]
    if route == "/v1/messages":
        assert reply.json()["type"] == "error"
    return str(error["message"])


def retry_after(reply: httpx.Response) -> int:
    assert re.fullmatch(r"\d+", reply.headers["retry-after"])
    return int(reply.headers["retry-after"])


async def at_once(served: Served, key: str, body: dict[str, Any], count: int) -> list[httpx.Response]:
    """So many equal requests, each on a connection of its own."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(
        base_url=served.bridge.url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=PATIENCE_S,
        limits=limits,
        trust_env=False,
    ) as client:
        return list(await asyncio.gather(*(client.post("/api/chat", json=body) for _ in range(count))))


def test_requests_per_minute_count_down_and_then_refuse(served: Served) -> None:
    key = served.bridge.key("three a minute", "--rpm", "3")
    with served.bridge.client(key) as client:
        for left in (2, 1, 0):
            reply = client.post("/api/chat", json=asking(served, "/api/chat", 4))
            assert reply.status_code == 200
            assert reply.headers["x-ratelimit-limit-requests"] == "3"
            assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
            assert 0 < float(reply.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 120
        for route in DIALECTS:
            reply = client.post(route, json=asking(served, route, 4))
            assert "3 requests per minute" in assert_refused(reply, 429, route)
            assert 1 <= retry_after(reply) <= 60
            assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    record = served.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["reason"], record["status"]) == ("refused", "rate", 429)


def test_tokens_per_minute_refuse_with_the_wait_or_say_that_none_helps(served: Served) -> None:
    key = served.bridge.key("tokens a minute", "--tpm", "600")
    with served.bridge.client(key) as client:
        reply = client.post("/v1/chat/completions", json=asking(served, "/v1/chat/completions", 400))
        assert reply.status_code == 200
        assert reply.headers["x-ratelimit-limit-tokens"] == "600"
        # What is left is told with the reservation taken off, which is more than was used.
        assert 0 <= int(reply.headers["x-ratelimit-remaining-tokens"]) <= 200
        reply = client.post("/v1/chat/completions", json=asking(served, "/v1/chat/completions", 400))
        assert "600 per minute" in assert_refused(reply, 429, "/v1/chat/completions")
        assert 1 <= retry_after(reply) <= 60
        reply = client.post("/api/chat", json=asking(served, "/api/chat", 5000))
        assert "ask for fewer tokens" in assert_refused(reply, 429)
        assert "retry-after" not in reply.headers


@pytest.mark.asyncio
async def test_parallel_requests_are_exact_under_a_crowd(served: Served) -> None:
    key = served.bridge.key("five at once", "--parallel", "5")
    served.node.arm("hang", count=5, after=0)
    body = asking(served, "/api/chat", 4)
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=CROWD)
    async with httpx.AsyncClient(
        base_url=served.bridge.url, headers=headers, timeout=PATIENCE_S, limits=limits, trust_env=False
    ) as client:
        running = [asyncio.create_task(client.post("/api/chat", json=body)) for _ in range(CROWD)]
        replies = [await done for done in itertools.islice(asyncio.as_completed(running), CROWD - 5)]
        assert {reply.status_code for reply in replies} == {429}
        assert "5 requests at once" in assert_refused(replies[0], 429)
        assert retry_after(replies[0]) == 1
        assert served.node.report()["in_flight"] == 5
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    served.bridge.until(lambda: served.node.report()["in_flight"] == 0)


def test_the_place_of_a_parallel_request_is_free_once_it_ended(served: Served) -> None:
    key = served.bridge.key("one at once", "--parallel", "1")
    served.node.arm("hang", count=1, after=1)
    body = asking(served, "/api/chat", 4)
    with Wire(served.bridge, key) as wire, served.bridge.client(key) as client:
        wire.send("/api/chat", {**body, "stream": True})
        wire.until(b"content")
        assert_refused(client.post("/api/chat", json=body), 429)
        wire.leave()
        served.bridge.until(lambda: client.post("/api/chat", json=body).status_code == 200)


@pytest.mark.asyncio
async def test_a_budget_is_not_overdrawn_by_a_crowd_and_says_not_to_try_again(served: Served) -> None:
    budget = 1500
    key = served.bridge.key("thrifty", "--budget-tokens-total", str(budget))
    public_id = key.split("_")[1]
    body = asking(served, "/api/chat", 100)
    replies = await at_once(served, key, body, CROWD)
    answered = sum(reply.status_code == 200 for reply in replies)
    assert {reply.status_code for reply in replies} == {200, 429}

    def used() -> int:
        records = served.bridge.records(key=public_id, outcome="answered")
        return sum(r["prompt_tokens"] + r["output_tokens"] for r in records)

    served.bridge.until(lambda: len(served.bridge.records(key=public_id)) == CROWD)
    assert len(served.bridge.records(key=public_id, outcome="answered")) == answered
    assert 0 < used() <= budget
    async with httpx.AsyncClient(base_url=served.bridge.url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {key}"}
        for route in DIALECTS:
            reply = await client.post(route, json=asking(served, route, 1400), headers=headers)
            assert f"{budget} in all" in assert_refused(reply, 429, route)
            assert reply.headers["x-should-retry"] == "false"
            assert "retry-after" not in reply.headers


def test_what_a_cancelled_request_reserved_is_given_back(served: Served) -> None:
    key = served.bridge.key("patient", "--budget-tokens-day", "1000")
    body = asking(served, "/api/chat", 700)
    served.node.arm("hang", count=1, after=2)
    with Wire(served.bridge, key) as wire, served.bridge.client(key) as client:
        wire.send("/api/chat", {**body, "stream": True})
        wire.until(b"content")
        reply = client.post("/api/chat", json=body)
        message = assert_refused(reply, 429)
        assert "1000 per day" in message
        assert "reserved" in message
        # The tokens are only reserved: here waiting does help.
        assert retry_after(reply) == 1
        assert "x-should-retry" not in reply.headers
        wire.leave()
        served.bridge.until(lambda: client.post("/api/chat", json=body).status_code == 200)
        assert_refused(client.post("/api/chat", json=body), 429)


def test_budgets_survive_a_kill(fake_node: FakeNode, serve: Serve) -> None:
    node = fake_node(slots=4)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="4")
    key = bridge.key("saver", "--budget-tokens-day", "1000")
    body = asking(Served(node, bridge, key), "/api/chat", 600)
    with bridge.client(key) as client:
        reply = client.post("/api/chat", json=body)
        assert reply.status_code == 200
    bridge.kill()
    bridge.start()
    with bridge.client(key) as client:
        assert_refused(client.post("/api/chat", json=body), 429)
    record = bridge.record(reply.headers["x-request-id"])
    assert record["output_tokens"] == 600


def test_an_expired_key_is_a_401_that_says_when(served: Served) -> None:
    key = served.manage_key("short", "--expires", "0.001s")
    route = "/v1/chat/completions"

    def expired() -> bool:
        reply = httpx.post(
            served.bridge.url + route,
            json=asking(served, route, 4),
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )
        return "expired on" in assert_refused(reply, 401, route)

    served.bridge.until(expired)


@pytest.fixture(scope="module")
def narrow(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One slot, a line of 20, headers at once, and this machine as a trusted proxy."""
    directory = tmp_path_factory.mktemp("narrow") / "data"
    env = {
        "BRIDGE_DEFAULT_SLOTS": "1",
        "BRIDGE_QUEUE_LIMIT_MODEL": str(QUEUE),
        "BRIDGE_HEARTBEAT": "0.05s",
        "BRIDGE_TRUSTED_PROXIES": "127.0.0.1",
    }
    with NodeProcess("llama3.2=2", vram_gib=24, slots=1, **QUICK) as node:
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            yield Served(node, bridge, bridge.key("normal"))
        finally:
            bridge.close()


def test_a_line_sheds_by_priority_and_is_bounded(narrow: Served) -> None:
    keys = {level: narrow.manage_key(level, "--priority", level) for level in ("low", "high")}
    keys["normal"] = narrow.key
    narrow.bridge.start()
    body = asking(narrow, "/api/chat", 4)

    def refusal(level: str) -> tuple[httpx.Response, str]:
        with narrow.bridge.client(keys[level]) as client:
            reply = client.post("/api/chat", json=body)
        assert_refused(reply, 503)
        assert 1 <= retry_after(reply) <= 60
        return reply, narrow.bridge.record(reply.headers["x-request-id"])["reason"]

    narrow.node.arm("hang", count=1, after=1)
    with ExitStack() as waiting:

        def join(level: str) -> None:
            wire = waiting.enter_context(Wire(narrow.bridge, keys[level]))
            wire.send("/api/chat", {**body, "stream": True})
            wire.until(b"content")  # the first token, or a heartbeat: it stands in the line

        join("normal")  # the one that is seated
        for _ in range(17):
            join("low")
        reply, reason = refusal("low")  # 17 of 20 are over 80 %
        assert reason == "queue_shed"
        assert "priority 0" in reply.json()["error"]
        join("normal")
        join("normal")
        assert refusal("normal")[1] == "queue_shed"  # 19 of 20 are over 90 %
        join("high")
        reply, reason = refusal("high")
        assert reason == "queue_full"
        assert f"{QUEUE} of {QUEUE} places" in reply.json()["error"]
    with narrow.bridge.client(narrow.key) as client:
        narrow.bridge.until(lambda: client.post("/api/chat", json=body).status_code == 200)


def test_a_key_works_only_from_its_networks(narrow: Served) -> None:
    if narrow.bridge.process is None:
        narrow.bridge.start()
    key = narrow.manage_key("office", "--cidrs", "10.1.0.0/16")
    body = asking(narrow, "/api/chat", 4)

    def asked(forwarded: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": forwarded}
        return httpx.post(narrow.bridge.url + "/api/chat", json=body, headers=headers, trust_env=False)

    narrow.bridge.until(lambda: asked("10.1.2.3").status_code == 200)
    # The last address that is no trusted proxy counts; what stands before it anybody can write.
    for forwarded in ("192.0.2.7", "10.1.2.3, 192.0.2.7"):
        reply = asked(forwarded)
        assert "192.0.2.7" in assert_refused(reply, 403)
        record = narrow.bridge.record(reply.headers["x-request-id"])
        assert (record["reason"], record["address"]) == ("address", "192.0.2.7")

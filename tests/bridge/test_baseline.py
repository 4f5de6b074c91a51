"""After load everything is back at its base line; and who waits costs no thread."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.bridge import proc
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

REQUESTS = 500
AT_ONCE = 8
SLOTS = 4
WAITING = 200
FAULTS = ("cut_mid_stream", "eof_without_done", "error_mid_stream")


@pytest.fixture(scope="module")
def loaded(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("baseline") / "data"
    with NodeProcess("llama3.2=2", slots=SLOTS, **QUICK) as node:
        env = {
            "BRIDGE_DEFAULT_SLOTS": str(SLOTS),
            "BRIDGE_HEARTBEAT": "1s",
            "BRIDGE_QUEUE_LIMIT_MODEL": "400",
        }
        bridge = Bridge(copied(empty_data, directory), nodes=[node.url], **env)
        try:
            bridge.manage("synccatalog")
            key = bridge.key()
            yield Served(node, bridge.start(), key)
        finally:
            bridge.close()


def pid(served: Served) -> int:
    assert served.bridge.process is not None
    return served.bridge.process.pid


def gauge(served: Served, name: str) -> float:
    """The sum of a metric's series."""
    lines = served.bridge.get("/metrics").text.splitlines()
    values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
    assert values, f"/metrics has no {name}"
    return sum(values)


def mixed(served: Served) -> list[Callable[[], int]]:
    """One of each kind of request; what each gives is its status."""

    def post(route: str, *, stream: bool, key: str = served.key, **more: object) -> int:
        with served.bridge.client(key) as client:
            return client.post(route, json=served.body(route, stream=stream) | more).status_code

    def bad() -> int:
        with served.bridge.client(served.key) as client:
            return client.post("/api/chat", content=b"{").status_code

    def left(route: str, *, stream: bool) -> int:
        with Wire(served.bridge, served.key) as wire:
            more = {"options": {"num_predict": 3000}, "max_tokens": 3000}
            wire.send(route, served.body(route, stream=stream) | more, agent="leaving")
            if stream:
                wire.until(b"one")
        return 499

    return [
        lambda: post("/api/chat", stream=False),
        lambda: post("/api/generate", stream=True),
        lambda: post("/v1/chat/completions", stream=True),
        lambda: post("/v1/messages", stream=False),
        lambda: post("/v1/responses", stream=True),
        lambda: post("/api/chat", stream=False, model="nothing"),
        lambda: post("/v1/chat/completions", stream=False, key="obk_wrong"),
        bad,
        lambda: left("/api/chat", stream=True),
        lambda: left("/v1/chat/completions", stream=False),
    ]


def send(served: Served, count: int) -> Counter[int]:
    """So many requests, several at once, the node failing some of them; how often each status came."""
    kinds = itertools.islice(itertools.cycle(mixed(served)), count)
    for fault in FAULTS:
        served.node.arm(fault, count=count // 50, after=2)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = Counter(pool.map(lambda ask: ask(), kinds))
    served.node.disarm()
    return statuses


def recorded(statuses: Counter[int]) -> int:
    """A flood of bad keys is answered with 429 and not recorded: it must not fill the database."""
    return statuses.total() - statuses[429]


def test_everything_is_back_at_its_base_line_after_500_mixed_requests(loaded: Served) -> None:
    bridge, node = loaded.bridge, loaded.node
    before = recorded(send(loaded, 50))  # what is made once is made
    bridge.until(lambda: node.report()["in_flight"] == 0)
    threads = proc.threads(pid(loaded))
    files = proc.open_files(pid(loaded)) - proc.connections(pid(loaded), node.port)

    statuses = send(loaded, REQUESTS)

    assert {200, 400, 404, 429, 499} <= set(statuses)
    bridge.until(lambda: node.report()["in_flight"] == 0)
    bridge.until(lambda: gauge(loaded, "ollama_bridge_requests_running") == 0)
    assert gauge(loaded, "ollama_bridge_requests_waiting") == 0
    bridge.until(lambda: proc.threads(pid(loaded)) <= threads)
    bridge.until(lambda: proc.open_files(pid(loaded)) - proc.connections(pid(loaded), node.port) <= files)
    # Idle ones are kept for the next request; a few more are the scheduler's own.
    assert proc.connections(pid(loaded), node.port) <= SLOTS + AT_ONCE
    expected = before + recorded(statuses)
    bridge.until(lambda: len(bridge.records()) >= expected)
    assert len(bridge.records()) == expected
    assert {record["outcome"] for record in bridge.records()} == {
        "answered",
        "refused",
        "cancelled",
        "failed",
    }
    # All seats are there: as many as the node has slots are answered at once, and none waits.
    with ThreadPoolExecutor(SLOTS) as pool, bridge.client(loaded.key) as client:
        body = loaded.body("/api/chat", stream=False)
        node.arm("latency", count=SLOTS, value=0.2)
        replies = list(pool.map(lambda _: client.post("/api/chat", json=body), range(SLOTS)))
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.headers["x-bridge-queue-ms"] for reply in replies} == {"0"}


def test_two_hundred_waiting_requests_cost_no_thread(loaded: Served) -> None:
    bridge, node = loaded.bridge, loaded.node
    bridge.until(lambda: node.report()["in_flight"] == 0)
    body = loaded.body("/api/chat", stream=True)
    with ExitStack() as stack:
        node.arm("hang", count=SLOTS, after=1)
        for _ in range(SLOTS):
            seated = stack.enter_context(Wire(bridge, loaded.key))
            seated.send("/api/chat", body)
            seated.until(b"one")
        threads = proc.threads(pid(loaded))
        for number in range(WAITING):
            waiting = stack.enter_context(Wire(bridge, loaded.key))
            waiting.send("/api/chat", body | {"stream": bool(number % 2)})
        bridge.until(lambda: gauge(loaded, "ollama_bridge_requests_waiting") == WAITING)
        assert proc.threads(pid(loaded)) <= threads + 1  # one for the writer's look at the disk
    bridge.until(lambda: gauge(loaded, "ollama_bridge_requests_waiting") == 0)
    bridge.until(lambda: node.report()["in_flight"] == 0)
    with bridge.client(loaded.key) as client:
        reply = client.post("/api/chat", json={**body, "stream": False})
    assert reply.status_code == 200

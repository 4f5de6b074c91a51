"""Warm traffic over all web processes, accounted for afterwards: by clients, nodes, records and board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx

from tests.chaos.load import Load
from tests.fleet.conftest import Fleet

CONNECTIONS = 3  # for each web process: together more than one resident has slots
MANY = 60  # requests that show that traffic goes on


class Traffic:
    """A load on each web process."""

    def __init__(self, fleet: Fleet, loads: list[Load]) -> None:
        self._fleet = fleet
        self.loads = loads

    def flows(self, count: int = MANY) -> None:
        """Each web process ends so many more requests."""
        goals = [len(load.finished) + count for load in self.loads]
        self._fleet.web.until(
            lambda: all(len(load.finished) >= goal for load, goal in zip(self.loads, goals, strict=True)), 20
        )


@contextmanager
def traffic(fleet: Fleet) -> Iterator[Traffic]:
    """Warm traffic over both web processes; afterwards every request is accounted for."""
    key = fleet.key()
    fleet.warm(key)
    for node in fleet.nodes:
        node.reset()
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(web, key, CONNECTIONS)) for web in fleet.webs]
        moving = Traffic(fleet, loads)
        moving.flows(10)
        yield moving
        moving.flows(10)
    fleet.as_before()
    for load in loads:
        assert load.texts == [], "warm traffic is never refused"
        accounted(fleet, load)


def accounted(fleet: Fleet, load: Load) -> None:
    """Each request that ended well at its client has one record, which says so."""
    fleet.web.until(lambda: set(load.finished) <= {record["request_id"] for record in fleet.web.records()})
    records = [record for record in fleet.web.records() if record["request_id"] in set(load.begun)]
    assert max(Counter(record["request_id"] for record in records).values()) == 1
    assert {record["outcome"] for record in records} <= {"answered", "cancelled"}
    answered = {record["request_id"] for record in records if record["outcome"] == "answered"}
    assert set(load.finished) <= answered


def says(fleet: Fleet, what: str) -> Callable[[], bool]:
    """Whether both web processes have logged it once more than until now."""
    before = [web.log.read_text().count(what) for web in fleet.webs]
    return lambda: all(
        web.log.read_text().count(what) > count for web, count in zip(fleet.webs, before, strict=True)
    )


def ask_cold(fleet: Fleet, key: str, model: str = "qwen3") -> httpx.Response:
    """One small chat with a model that is not loaded, at the first web process."""
    body = {"model": model, "messages": [{"role": "user", "content": "one"}], "stream": False}
    with fleet.web.client(key) as client:
        return client.post("/api/chat", json=body)

"""Redis stops, loses its data or dies under traffic: warm requests go on, and afterwards all is as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.chaos.load import Load
from tests.fleet.conftest import Fleet

pytestmark = pytest.mark.chaos

CONNECTIONS = 6  # for each web process: more than the slots that both have together
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
    key = fleet.web.key()
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


def ask_cold(fleet: Fleet, key: str) -> httpx.Response:
    body = {"model": "qwen3", "messages": [{"role": "user", "content": "one"}], "stream": False}
    with fleet.web.client(key) as client:
        return client.post("/api/chat", json=body)


def test_redis_that_stops_for_seconds_costs_warm_traffic_nothing(fleet: Fleet) -> None:
    key = fleet.web.key()
    with traffic(fleet) as moving:
        away, back = says(fleet, "serving "), says(fleet, "answers again")
        fleet.redis.pause()
        try:
            fleet.web.until(away, 5)
            moving.flows(3 * MANY)
            cold = ask_cold(fleet, key)
            assert cold.status_code == 503
            assert cold.json()["error"]
        finally:
            fleet.redis.resume()
        fleet.web.until(back, 5)
        moving.flows()
    fleet.web.until(lambda: ask_cold(fleet, key).status_code == 200, 10)


def test_redis_that_forgets_everything_is_filled_again_under_traffic(fleet: Fleet) -> None:
    with traffic(fleet) as moving:
        for _ in range(3):
            fleet.redis.say("FLUSHALL")
            moving.flows()


def test_redis_that_is_killed_and_comes_back_empty_costs_warm_traffic_nothing(fleet: Fleet) -> None:
    with traffic(fleet) as moving:
        away, back = says(fleet, "serving "), says(fleet, "answers again")
        fleet.redis.kill()
        fleet.web.until(away, 5)
        moving.flows()
        fleet.redis.restart()
        fleet.web.until(back, 5)
        moving.flows()

"""A web process or a scheduler is killed under traffic: the others go on as if nothing had been."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.fleet.conftest import SLOTS, Fleet
from tests.fleet.traffic import ask_cold, traffic
from tests.serving import Bridge

pytestmark = pytest.mark.chaos

LEASE_S = 5.0  # of what a web process holds
HANDOVER_S = 5.0  # from the death of the scheduler that leads


@contextmanager
def endless(web: Bridge, key: str, count: int) -> Iterator[None]:
    """So many streams that would go on for minutes; entered when each has its first bytes."""
    begun = threading.Barrier(count + 1)

    def read() -> None:
        body = {"model": "qwen3", "prompt": "one", "options": {"num_predict": 1000}}
        with web.client(key) as client, client.stream("POST", "/api/generate", json=body) as reply:
            chunks = reply.iter_raw()
            next(chunks)
            begun.wait(30)
            try:
                for _ in chunks:
                    pass
            except httpx.TransportError:
                return

    threads = [threading.Thread(target=read) for _ in range(count)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    yield
    for thread in threads:
        thread.join(30)


def test_a_killed_web_process_frees_its_seats_for_requests_of_the_other(fleet: Fleet) -> None:
    key = fleet.key()
    assert ask_cold(fleet, key).status_code == 200
    node, second = fleet.nodes[0], fleet.webs[1]
    node.arm("slow_drip", model="qwen3", value=0.5)
    with ExitStack() as stack:
        stack.enter_context(endless(second, key, SLOTS))
        waiting = threading.Thread(target=ask_cold, args=(fleet, key))
        waiting.start()
        fleet.web.until(lambda: fleet.in_flight() == SLOTS + 1)
        node.disarm()
        second.kill()
        began = time.monotonic()
        waiting.join(30)
        assert time.monotonic() - began < LEASE_S + 2.0
    second.start()
    fleet.as_before()
    records = fleet.web.records(model="qwen3:latest")
    assert [record["outcome"] for record in records] == ["answered"] * len(records), (
        "the killed one wrote none"
    )


def test_another_scheduler_leads_within_seconds_of_the_leaders_death(fleet: Fleet) -> None:
    key = fleet.key()
    with traffic(fleet) as moving:
        fleet.schedulers[0].kill()
        fleet.web.until(fleet.schedulers[1].leads, HANDOVER_S)
        moving.flows()
        assert ask_cold(fleet, key, "gemma3").status_code == 200, "and cold requests are loaded again"


def test_without_any_scheduler_warm_traffic_goes_on_and_cold_requests_are_refused(fleet: Fleet) -> None:
    key = fleet.key()
    with traffic(fleet) as moving:
        for scheduler in fleet.schedulers:
            scheduler.close()
        moving.flows()
        refused = ask_cold(fleet, key, "phi4")
        assert refused.status_code == 503
        assert "scheduler" in refused.json()["error"]
    fleet.add_scheduler()
    fleet.web.until(lambda: ask_cold(fleet, key, "phi4").status_code == 200)

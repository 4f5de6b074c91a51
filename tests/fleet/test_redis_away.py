"""Redis stops, loses its data or dies under traffic: warm requests go on, and afterwards all is as before."""

from __future__ import annotations

import pytest

from tests.fleet.conftest import Fleet
from tests.fleet.traffic import MANY, ask_cold, says, traffic

pytestmark = pytest.mark.chaos


def test_redis_that_stops_for_seconds_costs_warm_traffic_nothing(fleet: Fleet) -> None:
    key = fleet.key()
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

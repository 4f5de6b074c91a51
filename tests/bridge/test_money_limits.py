"""A key whose money is spent, as clients of each dialect meet it at a running bridge."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tests.bridge.served import Served
from tests.bridge.test_limits import DIALECTS, asking, assert_refused

SPEND = """
from datetime import datetime, UTC
from bridge.models import CostRollup
from bridge.accounting.costs import COSTS
from scheduler.models import Revision
CostRollup.objects.create(span=24, start=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
    node="gone", part="decode", key="{key}", gpu_us=1, micros=2_500_000)
Revision.objects.bump(COSTS)
"""
KINDS = {"/v1/chat/completions": "insufficient_quota", "/v1/messages": "billing_error"}


def test_a_key_whose_money_is_spent_is_refused_in_its_dialect_and_told_not_to_retry(served: Served) -> None:
    key = served.bridge.key("thrifty", "--budget-money-month", "2.50")
    with served.bridge.client(key) as client:
        assert client.post("/api/chat", json=asking(served, "/api/chat", 4)).status_code == 200
        served.bridge.manage("shell", "-c", SPEND.format(key=key.split("_")[1]))
        served.bridge.until(
            lambda: client.post("/api/chat", json=asking(served, "/api/chat", 4)).status_code == 402
        )
        for route in DIALECTS:
            reply = client.post(route, json=asking(served, route, 4, stream=True))
            assert "has spent 2.50 of 2.50 USD per month" in assert_refused(reply, 402, route)
            assert reply.headers["x-should-retry"] == "false"
            assert "retry-after" not in reply.headers
            if route in KINDS:
                assert reply.json()["error"]["type"] == KINDS[route]
        assert client.get("/v1/models").status_code == 200  # what costs nothing goes on
    record = served.bridge.record(reply.headers["x-request-id"])
    assert (record["outcome"], record["reason"], record["status"]) == ("refused", "budget_money", 402)


def rows_of(served: Served, table: str) -> int:
    with contextlib.closing(sqlite3.connect(served.bridge.data_dir / "bridge.sqlite3")) as database:
        return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


@pytest.mark.parametrize("table", ["bridge_usagerollup", "scheduler_nodesample", "bridge_costrollup"])
def test_a_running_bridge_keeps_sums_samples_and_costs_by_itself(served: Served, table: str) -> None:
    with served.bridge.client(served.key) as client:
        assert client.post("/api/chat", json=asking(served, "/api/chat", 4)).status_code == 200
    served.bridge.until(lambda: rows_of(served, table))

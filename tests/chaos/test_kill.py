"""`kill -9`, a stop, a database that goes away: no record of a finished request is lost or doubled."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter

import pytest

from tests.chaos.load import Load
from tests.conftest import FakeNode, Serve
from tests.serving import Bridge

pytestmark = pytest.mark.chaos

KILLS = 3
CONNECTIONS = 6


def outbox_is_empty(bridge: Bridge) -> bool:
    return not list((bridge.data_dir / "outbox").glob("*.jsonl"))


def assert_accounted(bridge: Bridge, load: Load) -> None:
    """Each finished request has one record that says so, and no request has two."""
    records = bridge.records()
    counts = Counter(record["request_id"] for record in records)
    assert set(counts.values()) <= {1}
    outcomes = {record["request_id"]: record["outcome"] for record in records}
    assert {request: outcomes.get(request) for request in load.finished} == dict.fromkeys(
        load.finished, "answered"
    )


def test_kill_9_under_load_loses_no_finished_request_and_doubles_none(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node(slots=8, tps=400)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="8")
    key = bridge.key()
    with Load(bridge, key, CONNECTIONS) as load:
        for kill in range(1, KILLS + 1):
            bridge.until(lambda enough=60 * kill: len(load.finished) >= enough)
            bridge.kill()
            bridge.start()
        bridge.until(lambda: len(load.finished) >= 60 * KILLS + 10)
    bridge.until(lambda: outbox_is_empty(bridge))
    assert_accounted(bridge, load)
    # The kills did meet requests that were under way.
    assert set(load.begun) - set(load.finished)
    assert node.report()["in_flight"] == 0


def test_requests_go_on_while_the_database_is_locked_and_their_records_come_later(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node(slots=8)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="8")
    key = bridge.key()
    with contextlib.closing(sqlite3.connect(bridge.data_dir / "bridge.sqlite3")) as database:
        with Load(bridge, key, 2) as load:
            bridge.until(lambda: len(load.finished) >= 10)
            database.isolation_level = None
            database.execute("BEGIN EXCLUSIVE")
            count = len(load.finished)
            bridge.until(lambda: len(load.finished) >= count + 100)
            assert not outbox_is_empty(bridge)
            database.execute("ROLLBACK")
        assert not load.refusals
    bridge.until(lambda: outbox_is_empty(bridge))
    assert_accounted(bridge, load)


def test_requests_go_on_while_the_database_is_gone_and_their_records_come_later(
    fake_node: FakeNode, serve: Serve
) -> None:
    node = fake_node(slots=8)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="8")
    key = bridge.key()
    database, away = bridge.data_dir / "bridge.sqlite3", bridge.data_dir / "away"
    with Load(bridge, key, 2) as load:
        bridge.until(lambda: len(load.finished) >= 10)
        away.mkdir()
        for path in bridge.data_dir.glob("bridge.sqlite3*"):
            path.rename(away / path.name)
        database.mkdir()  # nothing can be opened under its name, not even as a fresh, empty database
        bridge.until(lambda: "the database is away" in bridge.log.read_text())
        count = len(load.finished)
        bridge.until(lambda: len(load.finished) >= count + 100)
        database.rmdir()
        for path in away.iterdir():
            path.rename(bridge.data_dir / path.name)
    assert not load.refusals
    bridge.until(lambda: outbox_is_empty(bridge))
    assert_accounted(bridge, load)


def test_a_stop_in_order_under_load_loses_nothing_either(fake_node: FakeNode, serve: Serve) -> None:
    node = fake_node(slots=8, tps=400)
    bridge = serve([node.url], BRIDGE_DEFAULT_SLOTS="8")
    key = bridge.key()
    with Load(bridge, key, CONNECTIONS) as load:
        bridge.until(lambda: len(load.finished) >= 40)
        assert bridge.stop() == 0
    assert outbox_is_empty(bridge)
    assert_accounted(bridge, load)
    # What had begun was ended and not cut off; who came later was told to come again.
    assert sorted(load.begun) == sorted(load.finished)
    assert set(load.refusals) <= {503}

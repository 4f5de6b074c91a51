from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from bridge.snapshots import Keeper, NotLoaded


class Rows:
    """A table with a revision number, that can be taken away."""

    def __init__(self) -> None:
        self.number = 1
        self.text = "first"
        self.loads = 0
        self.gone = False
        self.polled = threading.Semaphore(0)

    def revision(self) -> int:
        self.polled.release()
        if self.gone:
            raise ConnectionError("no database here")
        return self.number

    def load(self) -> str:
        self.loads += 1
        return self.text

    def write(self, text: str) -> None:
        self.text = text
        self.number += 1


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def keeper(rows: Rows) -> Iterator[Keeper[str]]:
    keeper = Keeper("test", load=rows.load, revision=rows.revision, interval_s=0.001)
    yield keeper
    keeper.stop()


def two_polls(rows: Rows) -> None:
    """Whatever was written before this has been seen: of two polls the second began after it."""
    while rows.polled.acquire(blocking=False):
        pass
    for _ in range(3):
        assert rows.polled.acquire(timeout=10)


def test_nothing_is_there_before_the_first_load(keeper: Keeper[str]) -> None:
    with pytest.raises(NotLoaded, match="test snapshot"):
        _ = keeper.value
    assert keeper.age_s is None


def test_rows_are_read_again_only_when_the_number_moved(keeper: Keeper[str], rows: Rows) -> None:
    assert keeper.refresh()
    assert not keeper.refresh()
    assert rows.loads == 1
    rows.write("second")
    assert keeper.refresh()
    assert (keeper.value, rows.loads) == ("second", 2)


def test_each_new_snapshot_is_told(rows: Rows) -> None:
    told: list[str] = []
    keeper = Keeper("test", load=rows.load, revision=rows.revision, on_change=told.append)
    keeper.refresh()
    keeper.refresh()
    rows.write("second")
    keeper.refresh()
    assert told == ["first", "second"]


def test_a_write_during_the_load_is_seen_by_the_next_poll(rows: Rows) -> None:
    def load_while_another_writes() -> str:
        text = rows.load()
        if rows.loads == 1:
            rows.write("second")
        return text

    keeper = Keeper("test", load=load_while_another_writes, revision=rows.revision)
    keeper.refresh()
    assert keeper.value == "first"
    assert keeper.refresh()
    assert keeper.value == "second"


def test_the_thread_swaps_the_snapshot(keeper: Keeper[str], rows: Rows) -> None:
    keeper.start()
    assert keeper.wait_ready(10)
    rows.write("second")
    two_polls(rows)
    assert keeper.value == "second"
    assert keeper.age_s is not None


def test_the_last_snapshot_stays_while_the_database_is_away(
    keeper: Keeper[str], rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge.snapshots")
    keeper.start()
    assert keeper.wait_ready(10)
    rows.gone = True
    two_polls(rows)
    assert keeper.value == "first"
    rows.gone = False
    rows.write("second")
    two_polls(rows)
    keeper.stop()
    assert keeper.value == "second"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "each said once"


def test_starting_twice_makes_one_thread(keeper: Keeper[str]) -> None:
    keeper.start()
    keeper.start()
    assert [t.name for t in threading.enumerate()].count("keeper-test") == 1
    keeper.stop()
    assert "keeper-test" not in [t.name for t in threading.enumerate()]

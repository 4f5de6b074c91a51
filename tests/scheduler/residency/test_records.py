"""Records are written in order by a thread; a database that is away loses none, up to the bound."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.db import OperationalError

from scheduler.models import LedgerEntry, Measurement, Node, OperatorRequest
from scheduler.policy.state import Footprint
from scheduler.residency import records
from scheduler.residency.records import (
    DatabaseRecorder,
    Entry,
    Finished,
    Footing,
    LoadSpeed,
    NodeBecame,
    NodeMissed,
    NodeSeen,
    Throttle,
)


@dataclass
class Away:
    """A database that answers when it is told to."""

    written: list[str] = field(default_factory=list)
    up: threading.Event = field(default_factory=threading.Event)
    tries: int = 0

    def record(self, name: str, error: type[Exception] | None = OperationalError) -> object:
        away = self

        class One:
            def write(self) -> None:
                away.tries += 1
                if error is not None and not away.up.is_set():
                    raise error("gone")
                away.written.append(name)

            def __repr__(self) -> str:
                return name

        return One()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseRecorder]:
    monkeypatch.setattr(records, "RETRY_S", (0.001, 0.01))
    recorder = DatabaseRecorder(kept=5)
    yield recorder
    recorder.stop()


def test_a_database_that_was_away_gets_everything_in_order(recorder: DatabaseRecorder) -> None:
    away = Away()
    recorder.start()
    for name in "abc":
        recorder.put(away.record(name))  # type: ignore[arg-type]
    assert not recorder.flush(0.05)
    away.up.set()
    assert recorder.flush(5)
    assert away.written == ["a", "b", "c"]
    assert recorder.lost == 0


def test_beyond_the_bound_the_oldest_are_given_up_and_counted(recorder: DatabaseRecorder) -> None:
    away = Away()
    for name in "abcdefgh":
        recorder.put(away.record(name))  # type: ignore[arg-type]
    away.up.set()
    recorder.start()
    assert recorder.flush(5)
    assert away.written == list("defgh")
    assert recorder.lost == 3


def test_a_record_that_cannot_be_written_does_not_hold_up_the_others(
    recorder: DatabaseRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away()
    recorder.start()
    recorder.put(away.record("bad", ValueError))  # type: ignore[arg-type]
    recorder.put(away.record("good", None))  # type: ignore[arg-type]
    assert recorder.flush(5)
    assert away.written == ["good"]
    assert "bad" in caplog.text


def test_stopping_writes_what_waits(recorder: DatabaseRecorder) -> None:
    away = Away()
    away.up.set()
    recorder.start()
    for name in "abc":
        recorder.put(away.record(name))  # type: ignore[arg-type]
    recorder.stop()
    assert away.written == ["a", "b", "c"]


def test_a_throttle_lets_each_key_through_once_in_a_while() -> None:
    now = 0.0
    throttle = Throttle(10.0, clock=lambda: now)
    assert [throttle.lets("a"), throttle.lets("a"), throttle.lets("b")] == [True, False, True]
    now = 10.0
    assert throttle.lets("a")


@pytest.mark.django_db
class TestWhatIsWritten:
    @pytest.fixture
    def node(self) -> Node:
        return Node.objects.create(name="n1", url="http://n1:11434")

    def test_a_decision_goes_into_the_ledger(self) -> None:
        Entry(kind="load", node="n1", model="m:latest", cause="demand", key="k", seconds=1.5, bytes=7).write()
        entry = LedgerEntry.objects.get()
        assert (entry.kind, entry.node, entry.model, entry.cause, entry.key) == (
            "load",
            "n1",
            "m:latest",
            "demand",
            "k",
        )
        assert (entry.seconds, entry.bytes, entry.outcome) == (1.5, 7, "ok")

    def test_the_node_s_state_follows_what_was_seen(self, node: Node) -> None:
        NodeSeen(node="n1", version="0.32.15").write()
        NodeBecame(node="n1", state="quarantined", reason="Its loads hang.").write()
        node.refresh_from_db()
        assert (node.state, node.version, node.state_reason) == ("quarantined", "0.32.15", "Its loads hang.")
        NodeBecame(node="n1", state="up", reason="A probe was loaded.").write()
        NodeMissed(node="n1", error="refused").write()
        node.refresh_from_db()
        assert (node.state, node.last_error) == ("down", "refused")

    def test_a_node_that_was_removed_meanwhile_is_no_error(self) -> None:
        for record in (
            NodeSeen(node="gone", version="1"),
            NodeMissed(node="gone", error=""),
            LoadSpeed(node="gone", gbps=1.0),
        ):
            record.write()
        assert not Node.objects.exists()

    def test_measurements_and_speeds_are_kept(self, node: Node) -> None:
        Footing(
            node="n1", footprint=Footprint("d", 4096, 2, "f16"), size_bytes=9, size_vram=8, load_s=1.0
        ).write()
        LoadSpeed(node="n1", gbps=2.5).write()
        node.refresh_from_db()
        assert node.load_gbps == 2.5
        assert Measurement.objects.get().size_vram == 8

    def test_an_operator_gets_the_outcome(self, node: Node) -> None:
        asked = OperatorRequest.objects.ask("drain", node="n1", asked_by="ann")
        Finished(request=asked.pk, state="done", outcome="n1 holds nothing.").write()
        asked.refresh_from_db()
        assert (asked.state, asked.outcome) == ("done", "n1 holds nothing.")

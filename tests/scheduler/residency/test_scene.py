"""What the scheduler shows of a node: residents with their pins, and the action that runs."""

from __future__ import annotations

import pytest

from scheduler.metrics import FleetGauges
from scheduler.models import Node as Row
from scheduler.policy.config import DEFAULT
from scheduler.policy.state import Action, Line, Model, Node, Pin, Profile, Resident, State
from scheduler.policy.view import View
from scheduler.residency.assemble import UNKNOWN_VRAM
from scheduler.residency.picture import picture
from scheduler.residency.records import NodeShows
from scheduler.residency.scene import Shown, scene

GIB = 2**30


def state(
    *, vram: int = 24 * GIB, doing: Action | None = None, pins: tuple[Pin, ...] = (), waiting: int = 0
) -> State:
    resident = Resident(
        node="gpu1",
        model="qwen3",
        digest="d",
        profile=Profile(num_ctx=8192, slots=4),
        bytes=6 * GIB,
        spilled_bytes=GIB,
        in_flight=3,
        loaded_at=5.0,
        load_s=2.0,
    )
    models = [
        Model(name="qwen3", digests={"gpu1": "d"}, weights_bytes=5 * GIB),
        Model(name="large", digests={"gpu1": "e"}, weights_bytes=30 * GIB),
    ]
    return State(
        nodes={"gpu1": Node(name="gpu1", vram_bytes=vram, busy_with=doing)},
        models={model.name: model for model in models},
        residents={("gpu1", "qwen3"): resident},
        lines={"large": Line(model="large", waiting=waiting, since=10.0)} if waiting else {},
        pins=pins,
    )


def shown(of: State) -> dict[str, object]:
    return dict(scene(View(of, 20.0, DEFAULT), of.nodes["gpu1"]))


def test_a_scene_tells_residents_with_their_pins_and_the_load_that_runs() -> None:
    load = Action(kind="load", model="large", since=18.0, until=25.0, bytes=GIB, num_ctx=4096)
    told = shown(state(doing=load, pins=(Pin(model="qwen3"),)))
    (resident,) = told["residents"]  # type: ignore[misc]
    assert (resident["pinned"], resident["predicted_bytes"], resident["spilled_bytes"]) == (
        True,
        5 * GIB,
        GIB,
    )
    assert told["doing"] == {
        "kind": "load",
        "model": "large",
        "since": 18.0,
        "until": 25.0,
        "bytes": GIB,
        "num_ctx": 4096,
    }


def test_only_scenes_that_changed_are_written() -> None:
    seen = Shown()
    assert set(seen.changed(View(state(), 20.0, DEFAULT))) == {"gpu1"}
    assert seen.changed(View(state(), 21.0, DEFAULT)) == {}
    evicting = state(doing=Action(kind="evict", model="qwen3", since=21.0))
    assert set(seen.changed(View(evicting, 21.0, DEFAULT))) == {"gpu1"}
    seen.forget()
    assert set(seen.changed(View(evicting, 21.0, DEFAULT))) == {"gpu1"}


@pytest.mark.django_db
def test_a_scene_is_kept_in_the_row_of_its_node() -> None:
    Row.objects.create(name="gpu1", url="http://gpu1:11434")
    NodeShows(node="gpu1", scene=shown(state())).write()
    row = Row.objects.get(name="gpu1")
    assert row.scene["residents"][0]["model"] == "qwen3"
    assert row.scene_at is not None


def gauges(of: State) -> dict[str, float]:
    """The values of a picture by name and labels, the node's own name left out."""
    samples = picture(of, 20.0, DEFAULT)
    return {
        "|".join((name, *(label for label in labels if label != "gpu1"))): value
        for name, each in samples.items()
        for labels, value in each
    }


def test_a_picture_tells_vram_residents_and_lines() -> None:
    told = gauges(state(waiting=2))
    assert told["vram_used_bytes"] == 6 * GIB
    assert told["vram_spilled_bytes"] == GIB
    assert told["resident_in_flight|qwen3"] == 3
    assert told["queue_depth|large"] == 2
    assert told["queue_wait_seconds|large"] == 10.0
    assert (told["node_state|up"], told["node_state|down"]) == (1.0, 0.0)


def test_free_vram_counts_as_fragmented_only_while_somebody_waits_for_more() -> None:
    assert gauges(state())["vram_fragmentation_ratio"] == 0.0
    waits = gauges(state(waiting=1))
    assert waits["vram_fragmentation_ratio"] == pytest.approx(waits["vram_free_bytes"] / (24 * GIB))
    assert waits["vram_fragmentation_ratio"] > 0.5


def test_a_node_of_unknown_size_has_no_total_and_no_free() -> None:
    told = gauges(state(vram=UNKNOWN_VRAM))
    assert "vram_total_bytes" not in told
    assert "vram_free_bytes" not in told


def test_who_does_not_lead_shows_no_fleet() -> None:
    fleet = FleetGauges()
    fleet.show(picture(state(), 20.0, DEFAULT))
    shown_now = {family.name: family.samples for family in fleet.collect()}
    assert shown_now["ollama_bridge_leader"][0].value == 1.0
    assert shown_now["ollama_bridge_residents"][0].value == 1
    fleet.show(None)
    (leader,) = fleet.collect()
    assert leader.samples[0].value == 0.0


def test_a_picture_of_a_scheduler_that_stands_still_is_shown_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = FleetGauges()
    monkeypatch.setattr("scheduler.metrics.time.monotonic", lambda: 100.0)
    fleet.show(picture(state(), 20.0, DEFAULT))
    assert not fleet.due()
    monkeypatch.setattr("scheduler.metrics.time.monotonic", lambda: 116.0)
    assert [family.samples[0].value for family in fleet.collect()] == [0.0]

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from scheduler.models import CatalogModel, Measurement, ModelOnNode, Node, PinningPolicy
from scheduler.models.pin_fit import need

pytestmark = pytest.mark.django_db

OFFICE = [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}]
NIGHT = [{"days": ["sun"], "from": "22:00", "to": "06:00"}]


def policy(**fields: Any) -> PinningPolicy:
    pinned = PinningPolicy(**{"name": "office", "model": "qwen3:8b"} | fields)
    pinned.full_clean()
    pinned.save()
    return pinned


@pytest.mark.parametrize(
    ("windows", "zone", "moment", "open_"),
    [
        ([], "UTC", "2026-11-23T03:00", True),
        (OFFICE, "UTC", "2026-11-23T08:00", True),  # a Monday
        (OFFICE, "UTC", "2026-11-23T18:00", False),
        (OFFICE, "UTC", "2026-11-22T12:00", False),
        (OFFICE, "Europe/Berlin", "2026-11-23T07:30", True),
        (OFFICE, "Europe/Berlin", "2026-11-23T17:30", False),
        (OFFICE, "Europe/Berlin", "2026-07-06T06:30", True),  # summer time: two hours ahead
        (NIGHT, "UTC", "2026-11-22T23:00", True),
        (NIGHT, "UTC", "2026-11-23T05:59", True),
        (NIGHT, "UTC", "2026-11-23T06:00", False),
        (NIGHT, "UTC", "2026-11-22T05:00", False),
        ([{"days": ["mon"], "from": "00:00", "to": "24:00"}], "UTC", "2026-11-23T23:59", True),
    ],
)
def test_windows_open_and_close_by_the_wall_clock(
    windows: list[Any], zone: str, moment: str, open_: bool
) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert policy(windows=windows, time_zone=zone).holds(at) is open_


@pytest.mark.parametrize(
    "fields",
    [
        {"min_replicas": 0},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "/etc/passwd"},
        {"windows": {"days": []}},
        {"windows": ["always"]},
        {"windows": [{"days": ["mon"], "from": "08:00"}]},
        {"windows": [{"days": [], "from": "08:00", "to": "09:00"}]},
        {"windows": [{"days": ["Monday"], "from": "08:00", "to": "09:00"}]},
        {"windows": [{"days": ["mon"], "from": "8", "to": "09:00"}]},
        {"windows": [{"days": ["mon"], "from": "25:00", "to": "09:00"}]},
        {"windows": [{"days": ["mon"], "from": "08:00", "to": "08:00"}]},
    ],
)
def test_a_policy_that_says_nothing_clear_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        policy(**fields)


def test_those_in_force_come_by_priority() -> None:
    policy(name="low")
    policy(name="high", priority=5)
    policy(name="off", enabled=False)
    policy(name="closed", windows=OFFICE)
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert [p.name for p in PinningPolicy.objects.active(at)] == ["high", "low"]


def test_patterns_pick_models_and_nodes() -> None:
    names = ["qwen3:8b", "qwen3:latest", "qwen3-coder:30b"]
    assert policy(name="a", model="qwen3:*").models_among(names) == ["qwen3:8b", "qwen3:latest"]
    assert policy(name="b", model="Qwen3").models_among(names) == ["qwen3:latest"]
    assert policy(name="c", nodes="gpu-a*").nodes_among(["gpu-a1", "gpu-b1"]) == ["gpu-a1"]


class TestFit:
    """One node of 24 GB holds two models of some 15 GB each; a second one holds the first model only."""

    @pytest.fixture(autouse=True)
    def fleet(self) -> None:
        nodes = {
            name: Node.objects.create(name=name, url=f"http://{name}:11434", vram_bytes=24 * 10**9, slots=1)
            for name in ("gpu-a", "gpu-b")
        }
        for name, holders in (("big:latest", ("gpu-a", "gpu-b")), ("other:latest", ("gpu-a",))):
            model = CatalogModel.objects.create(name=name, num_ctx=4096)
            for holder in holders:
                model.copies.create(
                    node=nodes[holder], digest=name, size_bytes=15 * 10**9, seen_at=datetime.now(UTC)
                )

    def test_pins_that_fit_apart_are_taken(self) -> None:
        policy(name="first", model="big", nodes="gpu-b")
        policy(name="second", model="other")

    def test_pins_that_cannot_be_kept_together_are_refused_with_the_numbers(self) -> None:
        policy(name="first", model="other", priority=5)
        with pytest.raises(ValidationError, match=r"second wants big:latest \(\d+\.\d GB\) on gpu-a"):
            policy(name="second", model="big", nodes="gpu-a")

    def test_windows_that_never_meet_are_no_contradiction(self) -> None:
        policy(name="first", model="other", windows=OFFICE)
        policy(name="second", model="big", nodes="gpu-a", windows=NIGHT)

    def test_a_policy_that_is_off_may_contradict(self) -> None:
        policy(name="first", model="other")
        policy(name="second", model="big", nodes="gpu-a", enabled=False)

    def test_more_replicas_than_nodes_that_have_it_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="but 1 of its nodes have it"):
            policy(name="first", model="other", min_replicas=2)

    def test_an_entry_with_replicas_of_its_own_counts(self) -> None:
        CatalogModel.objects.filter(name="other:latest").update(min_replicas=1)
        with pytest.raises(ValidationError, match="leave"):
            policy(name="first", model="big", nodes="gpu-a")

    def test_a_node_whose_memory_nobody_told_refuses_nothing(self) -> None:
        Node.objects.update(vram_bytes=None)
        policy(name="first", model="*", nodes="gpu-a")

    def test_a_policy_may_be_saved_again(self) -> None:
        first = policy(name="first", model="other")
        first.note = "for the night shift"
        first.full_clean()

    def test_what_was_measured_counts_before_the_formula(self) -> None:
        copy = ModelOnNode.objects.get(model__name="other:latest")
        by_formula = need(copy)
        profile = {"node": "gpu-a", "digest": copy.digest, "num_ctx": 4096, "slots": 1, "kv_type": "f16"}
        Measurement.objects.learn(**profile, size_bytes=5 * 10**9, size_vram=5 * 10**9, load_s=None)
        assert need(copy) < 8 * 10**9 < by_formula

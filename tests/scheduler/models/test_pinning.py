from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from scheduler.models import PinningPolicy

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

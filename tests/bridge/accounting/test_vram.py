"""Samples of VRAM into sums of hours and days."""

from __future__ import annotations

import pytest

from bridge.accounting import costs
from bridge.models import CostHour, VramRollup
from bridge.models.rollups import DAY, HOUR
from tests.bridge.accounting.cast import GIB, at, resident, sample

pytestmark = pytest.mark.django_db


def test_an_hour_and_its_day_hold_what_the_samples_say() -> None:
    small = resident("small:latest", 6, predicted=7 * GIB, kv=GIB, in_flight=2, slots=4)
    pinned = resident("small:latest", 6, pin="day shift", spilled=GIB, predicted=7 * GIB)
    sample(at(8, 59), small)  # speaks for the beginning of the hour, and counts in the one before
    sample(at(9, 0), small, stranded_bytes=18 * GIB, wanted="large:latest", waiting=3)
    sample(at(9, 1), pinned, up=False)
    sample(at(10, 0))
    for hour in (9, 10, 10, 9):
        CostHour.objects.get_or_create(start=at(hour))
        assert costs.work_out(at(hour), at(20))
    node = VramRollup.objects.get(span=HOUR, start=at(9), model="")
    assert (node.samples, node.up, node.bytes, node.total_bytes) == (2, 1, 12 * GIB, 48 * GIB)
    assert (node.stranded, node.pressed, node.stranded_bytes, node.waiting) == (1, 1, 18 * GIB, 3)
    held = VramRollup.objects.get(span=HOUR, start=at(9), model="small:latest")
    assert (held.samples, held.pinned, held.most_in_flight, held.most_slots) == (2, 1, 2, 4)
    assert (held.predicted_bytes, held.measured_bytes, held.kv_bytes) == (14 * GIB, 13 * GIB, GIB)
    day = VramRollup.objects.get(span=DAY, model="")
    assert (day.start, day.samples, day.total_bytes) == (at(0), 3, 72 * GIB)

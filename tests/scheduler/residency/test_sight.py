from __future__ import annotations

import pytest

from scheduler.residency.pace import Pace
from scheduler.residency.sight import Sight

PACE = Pace(
    misses=3, misses_loading=5, probe_s=0.25, probe_most_s=2.0, quarantine_s=60, quarantine_most_s=200
)


@pytest.fixture
def sight() -> Sight:
    sight = Sight(node="n1")
    assert sight.answered()
    return sight


def miss(sight: Sight, *, hard: bool = False, loading: bool = False, now: float = 0.0) -> bool:
    return sight.missed("no answer", hard=hard, loading=loading, now=now, pace=PACE)


def test_a_refused_connection_is_down_at_once(sight: Sight) -> None:
    assert miss(sight, hard=True)
    assert not sight.up


def test_a_late_answer_is_forgiven_twice(sight: Sight) -> None:
    assert [miss(sight), miss(sight), miss(sight)] == [False, False, True]


def test_loading_is_not_failing(sight: Sight) -> None:
    assert [miss(sight, loading=True) for _ in range(5)] == [False, False, False, False, True]


def test_an_answer_forgives_what_was_late(sight: Sight) -> None:
    miss(sight)
    miss(sight)
    assert not sight.answered()
    assert not miss(sight)


def test_it_is_looked_at_again_after_growing_pauses_and_one_answer_brings_it_back(sight: Sight) -> None:
    pauses = []
    for _ in range(5):
        miss(sight, hard=True, now=100.0)
        pauses.append(sight.look_at - 100.0)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert sight.answered()
    assert sight.up
    assert not sight.answered()


def test_quarantine_doubles_until_a_load_succeeds(sight: Sight) -> None:
    assert [sight.hung(0.0, PACE) for _ in range(4)] == [60, 120, 200, 200]
    assert sight.quarantined
    assert sight.proved()
    assert not sight.proved()
    assert sight.hung(0.0, PACE) == 60


def test_while_a_probe_is_due_nobody_else_tries(sight: Sight) -> None:
    sight.hung(100.0, PACE)
    assert sight.blocks_loads_until(110.0) == 160.0
    assert sight.blocks_loads_until(170.0) > 170.0
    sight.try_again()
    assert sight.blocks_loads_until(170.0) == 0.0
    assert sight.hung(180.0, PACE) == 120, "what was tried without a probe goes on counting"


def test_the_pause_after_an_unload_grows_where_it_was_too_short(sight: Sight) -> None:
    pace = Pace(recovery_s=0.5, recovery_most_s=3.0)
    for hurried in (True, True, True):
        sight.swapped(hurried=hurried)
    assert sight.recovery_s(pace) == 3.0
    for _ in range(2):
        sight.swapped(hurried=False)
    assert sight.recovery_s(pace) == 1.0

"""More users, each at a user's pace."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.replay import synthetic
from scheduler.replay.growth import grown
from scheduler.replay.trace import BadTrace, Trace
from tests.scheduler.replay.cast import trace

DAY = trace([(100.0 * i, f"k{i % 10}", "ab"[i % 2]) for i in range(860)], {"a": 1.0, "b": 2.0})


def by_key(of: Trace) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for at, key, model in zip(of.times, of.keys, of.models, strict=True):
        found.setdefault(of.key_names[key], []).append((at, model))
    return found


def test_twice_as_many_do_the_same_each_at_its_own_pace() -> None:
    more = grown(DAY, 2.0)
    assert len(more) == 2 * len(DAY)
    assert more.times == sorted(more.times)
    assert Counter(more.models) == Counter(DAY.models + DAY.models)
    users = by_key(more)
    assert len(users) == 20
    for name, requests in by_key(DAY).items():
        assert users[name] == requests
        assert gaps(users[f"{name}+1"]) == gaps(requests)


def gaps(requests: list[tuple[float, int]]) -> Counter[int]:
    """Whole seconds between requests; from the last one on to the first, as on a clock."""
    span_s = DAY.times[-1]
    times = [at for at, _ in requests]
    return Counter(round((b - a) % span_s) for a, b in zip(times, times[1:] + times[:1], strict=True))


def test_a_share_of_users_is_drawn_by_the_seed() -> None:
    half, again, other = grown(DAY, 0.5), grown(DAY, 0.5), grown(DAY, 0.5, seed=1)
    assert half == again
    assert 0 < len(half) < len(DAY)
    assert set(by_key(half)) != set(by_key(other))
    assert set(by_key(half)) < set(by_key(DAY))


def test_the_load_grows_by_the_factor_and_the_shape_of_the_day_stays() -> None:
    whole = synthetic.pipelines(3)
    more = grown(whole, 3.0)
    hours = [Counter(int(t // 7200) for t in t_of.times) for t_of in (whole, more)]
    assert len(more) == 3 * len(whole)
    assert all(hours[1][h] / 3 == pytest.approx(n, rel=0.6) for h, n in hours[0].items() if n > 200)


@pytest.mark.parametrize("factor", [0.0, -1.0, 101.0, float("nan"), 0.0001])
def test_growth_that_makes_no_sense_is_refused(factor: float) -> None:
    with pytest.raises(BadTrace, match="times"):
        grown(DAY, factor)

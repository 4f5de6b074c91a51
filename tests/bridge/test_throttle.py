from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.throttle import Throttle, network_of


def test_a_burst_of_failures_is_answered_and_then_told_to_wait() -> None:
    throttle = Throttle(burst=3, per_minute=6)
    assert [throttle.failed("192.0.2.7", 100.0) for _ in range(4)] == [None, None, None, 10]


def test_waiting_as_told_is_enough() -> None:
    throttle = Throttle(burst=1, per_minute=6)
    assert throttle.failed("192.0.2.7", 100.0) is None
    wait = throttle.failed("192.0.2.7", 102.5)
    assert wait == 8
    assert throttle.failed("192.0.2.7", 102.5 + wait) is None


def test_addresses_are_counted_apart() -> None:
    throttle = Throttle(burst=1)
    assert throttle.failed("192.0.2.7", 0.0) is None
    assert throttle.failed("192.0.2.8", 0.0) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        (None, "unknown"),
        ("a socket", "unknown"),
    ],
)
def test_one_ipv6_host_cannot_hide_among_its_own_addresses(address: str | None, network: str) -> None:
    assert network_of(address) == network


@given(st.lists(st.tuples(st.integers(0, 99), st.floats(0, 1e6)), max_size=300))
def test_memory_is_bounded_and_waits_are_1_to_60_seconds_whatever_the_clock_does(
    attempts: list[tuple[int, float]],
) -> None:
    throttle = Throttle(burst=2, most=10)
    for host, now in attempts:
        wait = throttle.failed(f"192.0.2.{host}", now)
        assert wait is None or 1 <= wait <= 60
        assert len(throttle._buckets) <= 10

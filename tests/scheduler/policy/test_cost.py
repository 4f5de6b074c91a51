"""Who had each GPU-second: hand-made cases, and the reconciliation for any."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policy.cost import (
    EMPTY,
    HOUR_US,
    US,
    Activity,
    Held,
    Meter,
    Owner,
    Price,
    Served,
    apportion,
    cents,
    phases,
    split,
)

DECODE_A = Owner(part="decode", model="a", key="k1", team="red")
DECODE_B = Owner(part="decode", model="b", key="k2", team="blue")


def run(start_s: float, end_s: float, owner: Owner) -> Activity:
    return Activity(start=round(start_s * US), end=round(end_s * US), owner=owner)


def held(model: str, bytes_: int, start_s: float = 0, end_s: float = 60, **pin: str) -> Held:
    return Held(start=round(start_s * US), end=round(end_s * US), model=model, bytes=bytes_, **pin)


def seconds(shares: dict[Owner, int]) -> dict[Owner, float]:
    return {owner: us / US for owner, us in shares.items()}


def minute(*activities: Activity, residents: tuple[Held, ...] = (), total: int = 0) -> dict[Owner, float]:
    return seconds(split(0, 60 * US, residents=residents, activities=activities, total_bytes=total))


def test_requests_that_run_together_share_the_gpu_equally() -> None:
    shares = minute(run(0, 30, DECODE_A), run(10, 60, DECODE_B))
    assert shares == {DECODE_A: 10 + 20 / 2, DECODE_B: 20 / 2 + 30}


def test_a_load_shares_with_the_requests_beside_it() -> None:
    load = Owner(part="load", model="b", key="k2")
    assert minute(run(0, 60, DECODE_A), run(0, 20, load)) == {DECODE_A: 50, load: 10}


def test_an_idle_gpu_is_paid_by_the_vram_that_residents_hold() -> None:
    pinned, other = held("a", 12, pin="day shift", team="red"), held("b", 6)
    shares = minute(run(0, 36, DECODE_A), residents=(pinned, other), total=24)
    assert shares == {
        DECODE_A: 36,
        Owner(part="idle_pinned", model="a", team="red", pin="day shift"): 12,
        Owner(part="idle_evictable", model="b"): 6,
        EMPTY: 6,
    }


def test_without_a_known_total_residents_have_all_of_an_idle_moment() -> None:
    shares = minute(residents=(held("a", 30), held("b", 10, end_s=30)))
    a, b = Owner(part="idle_evictable", model="a"), Owner(part="idle_evictable", model="b")
    assert shares == {a: 30 * 0.75 + 30, b: 30 * 0.25}


def test_nothing_there_is_empty_and_what_lies_outside_is_cut_off() -> None:
    assert minute() == {EMPTY: 60}
    assert minute(run(-50, 10, DECODE_A), run(50, 900, DECODE_B), run(70, 80, DECODE_A)) == {
        DECODE_A: 10,
        EMPTY: 40,
        DECODE_B: 10,
    }


def served(**changes: Any) -> Served:
    values = {"at": 0, "queue": 2 * US, "prefill": US, "decode": 4 * US, "total": 8 * US, "good": True}
    return Served(**{**values, "model": "a", "key": "k1", "team": "red", **changes})


def stretches(request: Served) -> list[tuple[str, float, float]]:
    return [(each.owner.part, each.start / US, each.end / US) for each in phases(request)]


def test_decoding_ends_with_the_request_and_prefill_comes_before_it() -> None:
    assert stretches(served()) == [("prefill", 3, 4), ("decode", 4, 8)]


def test_no_phase_begins_before_the_seat() -> None:
    assert stretches(served(prefill=9 * US, decode=4 * US)) == [("prefill", 2, 4), ("decode", 4, 8)]
    assert stretches(served(decode=30 * US)) == [("decode", 2, 8)]
    assert stretches(served(queue=90 * US)) == []


def test_what_a_node_did_not_time_is_prefill_and_what_was_not_answered_is_wasted() -> None:
    assert stretches(served(prefill=0, decode=0)) == [("prefill", 2, 8)]
    assert stretches(served(good=False)) == [("wasted", 2, 8)]


def test_shares_go_to_the_largest_remainders() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(100, [333, 333, 334]) == [33, 33, 34]
    assert apportion(1, [3, 7]) == [0, 1]
    assert apportion(0, [0, 0]) == [0, 0]
    with pytest.raises(ValueError, match="Nothing weighs"):
        apportion(1, [0])


def test_an_hour_costs_its_price_and_energy_goes_by_who_drew_it() -> None:
    meter, price = Meter(), Price(per_hour=Decimal("2.40"), per_kwh=Decimal("0.30"))
    meter.add({DECODE_A: HOUR_US // 2}, price, watts=400.0)
    meter.add({EMPTY: HOUR_US // 2}, price, watts=100.0)
    assert meter.bill == 2_400_000 + 75_000  # a quarter of a kWh
    assert meter.costs() == {DECODE_A: 1_200_000 + 60_000, EMPTY: 1_200_000 + 15_000}


def test_where_no_power_is_measured_only_what_runs_draws_the_assumed_watts() -> None:
    meter, price = Meter(), Price(per_kwh=Decimal(1))
    meter.add({DECODE_A: HOUR_US // 2, EMPTY: HOUR_US // 2}, price, watts=None, assumed=300)
    assert meter.costs() == {DECODE_A: 150_000, EMPTY: 0}


def test_cents_add_up_to_the_cents_of_the_sum() -> None:
    assert cents([3_333, 3_333, 3_334]) == [0, 0, 1]
    assert cents([0, 0]) == [0, 0]


OWNERS = st.sampled_from(
    [
        DECODE_A,
        DECODE_B,
        Owner(part="prefill", model="a", key="k1", team="red"),
        Owner(part="load", model="b"),
        Owner(part="wasted", model="c", key="k3"),
    ]
)
MOMENTS = st.integers(-HOUR_US, 2 * HOUR_US)


@st.composite
def activities(draw: st.DrawFn) -> list[Activity]:
    pairs = draw(st.lists(st.tuples(MOMENTS, MOMENTS, OWNERS), max_size=12))
    return [Activity(start=min(a, b), end=max(a, b), owner=owner) for a, b, owner in pairs]


@st.composite
def residents(draw: st.DrawFn) -> list[Held]:
    drawn = st.tuples(
        MOMENTS, MOMENTS, st.sampled_from("abc"), st.integers(0, 2**36), st.sampled_from(["", "p"])
    )
    pairs = draw(st.lists(drawn, max_size=5))
    return [
        Held(start=min(a, b), end=max(a, b), model=model, bytes=size, pin=pin)
        for a, b, model, size, pin in pairs
    ]


@given(activities(), residents(), st.integers(0, 2**37), st.integers(1, HOUR_US))
def test_the_parts_of_any_window_add_up_to_it(
    running: list[Activity], there: list[Held], total: int, length: int
) -> None:
    shares = split(0, length, residents=there, activities=running, total_bytes=total)
    assert sum(shares.values()) == length
    assert all(us >= 0 for us in shares.values())


PRICES = st.decimals(0, 100, places=4)


@given(
    st.lists(st.tuples(activities(), residents(), PRICES, PRICES), min_size=1, max_size=24),
    st.one_of(st.none(), st.floats(0, 2000)),
)
def test_the_parts_of_any_gpu_day_add_up_to_its_bill_to_the_cent(
    hours: list[tuple[list[Activity], list[Held], Decimal, Decimal]], watts: float | None
) -> None:
    bill, by_owner = 0, dict[Owner, int]()
    for running, there, per_hour, per_kwh in hours:
        meter = Meter()
        shares = split(0, HOUR_US, residents=there, activities=running, total_bytes=2**34)
        meter.add(shares, Price(per_hour=per_hour, per_kwh=per_kwh), watts=watts, assumed=350)
        rent = per_hour * 1_000_000
        assert meter.bill >= rent
        if watts is None and not any(
            owner.part in ("decode", "prefill", "load", "wasted") for owner in shares
        ):
            assert meter.bill == rent
        bill += meter.bill
        for owner, micros in meter.costs().items():
            by_owner[owner] = by_owner.get(owner, 0) + micros
    assert sum(by_owner.values()) == bill
    told = cents(list(by_owner.values()))
    assert sum(told) == int((Decimal(bill) / 10_000).quantize(Decimal(1), rounding="ROUND_HALF_UP"))

"""The scheduler's memory after a restart: what usage records tell of the time before."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.models import Actor, ApiKey, UsageRecord
from bridge.usage.traffic import UsageTraffic
from scheduler.models import LedgerEntry, traffic
from scheduler.policy.prediction import Predictor
from scheduler.residency import past

pytestmark = pytest.mark.django_db

START = 1_800_000_000.0


def record(number: int, at: float, **fields: Any) -> UsageRecord:
    given = {"key": "k", "model": "a:latest", "outcome": "answered", **fields}
    return UsageRecord(request_id=f"req_{number}", at=datetime.fromtimestamp(at, UTC), **given)


def records(*rows: UsageRecord) -> None:
    UsageRecord.objects.bulk_create(rows)


def test_the_bridge_tells_the_scheduler_of_its_records() -> None:
    assert isinstance(traffic.records(), UsageTraffic)


def test_the_newest_come_in_order_of_time_and_unknown_models_not_at_all() -> None:
    records(*(record(n, START + 10 - n, model=f"m{n}") for n in range(5)), record(9, START + 20, model=""))
    told = list(UsageTraffic().arrivals(START, 3))
    assert [each.model for each in told] == ["m2", "m1", "m0"]
    assert [each.at for each in told] == [START + 8, START + 9, START + 10]
    assert [each.model for each in UsageTraffic().arrivals(START + 9.5, 100)] == ["m0"]


def test_a_rotated_key_goes_on_with_the_habits_of_the_one_before() -> None:
    first, _ = ApiKey.objects.issue(actor=Actor.at_shell(), name="app")
    second, _ = first.rotate(Actor.at_shell(), timedelta(hours=1))
    records(record(1, START, key=first.public_id), record(2, START + 1, key=second.public_id))
    assert {each.key for each in UsageTraffic().arrivals(START, 10)} == {first.public_id}


def test_a_residents_answers_are_told_with_what_reading_took() -> None:
    given = {"node": "n1", "prompt_tokens": 900, "cached_tokens": 800, "prompt_eval_ms": 50}
    records(
        record(1, START, **given),
        record(2, START + 1, **given | {"node": "n2"}),
        record(3, START + 2, **given | {"outcome": "failed"}),
        record(4, START + 3, **given | {"prompt_tokens": 0}),
    )
    [told] = UsageTraffic().answered("n1", "a:latest", START, 5)
    assert (told.at, told.prompt_tokens, told.cached_tokens, told.prompt_eval_s) == (START, 900, 800, 0.05)


def test_a_predictor_rebuilt_from_records_is_the_one_that_saw_the_requests() -> None:
    began = time.time() - 3600
    rows = [record(n, began + 5 * n, model=f"{'ab'[n % 2]}:latest", key=f"k{n % 3}") for n in range(120)]
    records(*rows)
    saw = Predictor()
    for row in rows:
        saw.observe(row.at.timestamp(), row.key, row.model)
    known = past.read(Predictor, (), UsageTraffic())
    now = began + 5 * 120
    assert known.requests == 120
    assert known.predictor.chances(now, 30.0, 1) == saw.chances(now, 30.0, 1)
    assert known.predictor.following("k0") == saw.following("k0")


def test_how_prefetches_ended_and_what_is_open_is_told_oldest_first() -> None:
    record = LedgerEntry.objects.record
    for outcome, saved_s in (("hit", 4.0), ("wasted", -0.1), ("", None), ("out_of_memory", None)):
        record("prefetch", node="n1", model=f"m-{outcome}", outcome=outcome, saved_s=saved_s, seconds=4.0)
    record("shadow", node="n1", model="s", outcome="hit", saved_s=9.0)
    known = past.read(Predictor, (), None)
    assert [(e.model, e.kind, e.seconds) for e in known.endings] == [
        ("m-hit", "hit", 4.0),
        ("m-wasted", "wasted", -0.1),
    ]
    assert [(left.model, left.load_s) for left in known.unsettled] == [("m-", 4.0)]

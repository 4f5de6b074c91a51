from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.models import BadLine, UsageRecord
from bridge.models.usage import READERS

LINE = {
    "request_id": "0197f3f7c0de7000a000000000000001",
    "at": 1_800_000_000.25,
    "key": "ab12cd34",
    "key_name": "crawler",
    "team": "search",
    "model": "llama3.2:latest",
    "node": "gpu1",
    "dialect": "openai",
    "route": "/v1/chat/completions",
    "client": "OpenAI/Python",
    "address": "192.0.2.7",
    "stream": True,
    "prompt_tokens": 12,
    "cached_tokens": 4,
    "output_tokens": 40,
    "queue_ms": 3,
    "load_ms": 0,
    "ttft_ms": 18,
    "total_ms": 900,
    "prompt_eval_ms": 10,
    "eval_ms": 800,
    "load": "warm",
    "outcome": "answered",
    "reason": "",
    "status": 200,
}
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.just([])


def test_a_line_of_the_outbox_becomes_a_record_with_the_same_names() -> None:
    record = UsageRecord.from_line(json.loads(json.dumps(LINE)))
    stored = {name: getattr(record, name) for name in LINE}
    assert stored.pop("at").timestamp() == LINE["at"]
    assert stored == {name: value for name, value in LINE.items() if name != "at"}


def test_every_column_has_its_reader() -> None:
    columns = {field.name for field in UsageRecord._meta.concrete_fields}
    assert set(READERS) | {"id", "request_id", "at", "outcome"} == columns
    assert set(LINE) | {"id"} == columns


@pytest.mark.django_db
def test_a_batch_that_comes_twice_is_stored_once() -> None:
    batch = [UsageRecord.from_line(LINE | {"request_id": f"r{number}"}) for number in range(50)]
    UsageRecord.objects.bulk_create(batch, ignore_conflicts=True)
    UsageRecord.objects.bulk_create(
        [*batch[:20], UsageRecord.from_line(LINE | {"request_id": "new"})], ignore_conflicts=True
    )
    assert UsageRecord.objects.count() == 51


@pytest.mark.parametrize("at", [None, "noon", True, float("nan"), 10**20])
def test_a_line_without_a_time_is_bad(at: object) -> None:
    with pytest.raises(BadLine, match="time"):
        UsageRecord.from_line(LINE | {"at": at})


@pytest.mark.parametrize("name", ["request_id", "outcome"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_a_line_without_what_it_needs_is_bad(name: str, value: object) -> None:
    with pytest.raises(BadLine):
        UsageRecord.from_line(LINE | {name: value})


@given(st.dictionaries(st.sampled_from(sorted(READERS)), values))
def test_odd_values_are_fitted_so_that_the_database_takes_the_record(odd: dict[str, object]) -> None:
    record = UsageRecord.from_line(LINE | odd | {"unknown": 1})
    record.full_clean(exclude=["request_id"], validate_unique=False)
    text = "".join(value for value in record.__dict__.values() if isinstance(value, str))
    assert "\0" not in text
    assert text.encode()

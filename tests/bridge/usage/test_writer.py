"""The writer carries the outbox into the database: nothing twice, nothing lost, nothing held up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError

from bridge.models import ApiKey, UsageRecord
from bridge.models.audit import Actor
from bridge.usage import writer
from bridge.usage.outbox import Outbox
from bridge.usage.writer import UsageWriter

pytestmark = pytest.mark.django_db


def line(request_id: str, **more: Any) -> dict[str, Any]:
    return {"request_id": request_id, "at": time.time(), "outcome": "answered", "prompt_tokens": 7} | more


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


def test_each_line_becomes_one_record_and_the_segment_goes(outbox: Outbox) -> None:
    outbox.append(line("r0", model="llama3.2:latest", address="192.0.2.1", ttft_ms=12))
    outbox.append(line("r1"))
    assert UsageWriter(outbox).drain() == 2
    record = UsageRecord.objects.get(request_id="r0")
    assert (record.model, record.address, record.ttft_ms, record.prompt_tokens) == (
        "llama3.2:latest",
        "192.0.2.1",
        12,
        7,
    )
    assert UsageRecord.objects.get(request_id="r1").ttft_ms is None
    assert outbox.pending_bytes() == 0


def test_a_record_that_is_there_already_stays_as_it_is(outbox: Outbox) -> None:
    outbox.append(line("r0", output_tokens=1))
    UsageWriter(outbox).drain()
    outbox.append(line("r0", output_tokens=2))
    UsageWriter(outbox).drain()
    assert [r.output_tokens for r in UsageRecord.objects.all()] == [1]


def test_a_database_that_is_away_keeps_the_segment_for_the_next_round(outbox: Outbox) -> None:
    outbox.append(line("r0"))
    usage = UsageWriter(outbox)
    with (
        mock.patch.object(writer, "_import", side_effect=OperationalError("away")),
        pytest.raises(OperationalError),
    ):
        usage.drain()
    assert outbox.pending_bytes() > 0
    assert usage.drain() == 1
    assert UsageRecord.objects.count() == 1


def test_an_odd_line_keeps_no_other_from_the_table(outbox: Outbox) -> None:
    outbox.append({"nonsense": True})
    outbox.append(line("r0", model="x" * 1000, total_ms=-5, address="not an address"))
    UsageWriter(outbox).drain()
    record = UsageRecord.objects.get()
    assert (len(record.model), record.total_ms, record.address) == (255, 0, None)


def test_a_key_that_was_used_is_marked_so_and_a_refused_one_is_not(outbox: Outbox) -> None:
    used, _ = ApiKey.objects.issue(actor=Actor.at_shell(), name="used")
    refused, _ = ApiKey.objects.issue(actor=Actor.at_shell(), name="refused")
    outbox.append(line("r0", key=used.public_id))
    outbox.append(line("r1", key=refused.public_id, outcome="refused"))
    UsageWriter(outbox).drain()
    used.refresh_from_db()
    refused.refresh_from_db()
    assert used.last_used_at is not None
    assert datetime.now(UTC) - used.last_used_at < timedelta(minutes=1)
    assert refused.last_used_at is None


def test_thousands_of_lines_go_in_batches(outbox: Outbox) -> None:
    for number in range(writer.BATCH * 2 + 1):
        outbox.append(line(f"r{number}"))
    assert UsageWriter(outbox).drain() == writer.BATCH * 2 + 1
    assert UsageRecord.objects.count() == writer.BATCH * 2 + 1

"""One request's page: its phases, why that node, and who may see what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from bridge.models import Outcome, UsageRecord
from dashboard import story
from scheduler.models import LedgerEntry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(**fields: Any) -> UsageRecord:
    """A stream that waited 3 s for a load, and took 6 s in all."""
    known: dict[str, Any] = {
        "request_id": "req_1",
        "at": NOON,
        "model": "qwen3:8b",
        "node": "gpu1",
        "stream": True,
        "outcome": "answered",
        "load": "cold",
        "queue_ms": 3000,
        "ttft_ms": 3500,
        "prompt_eval_ms": 400,
        "eval_ms": 2400,
        "total_ms": 6000,
        "prompt_tokens": 800,
        "output_tokens": 120,
    }
    return UsageRecord(**(known | fields))


def entry(kind: str, model: str, ended_ms: int, seconds: float, **fields: Any) -> LedgerEntry:
    at = NOON + timedelta(milliseconds=ended_ms)
    return LedgerEntry(kind=kind, node="gpu1", model=model, at=at, seconds=seconds, **fields)


def told(phases: list[story.Phase]) -> list[tuple[str, float, float]]:
    return [(phase.name, phase.start_ms, phase.end_ms) for phase in phases]


def test_a_cold_request_is_told_from_line_to_last_token() -> None:
    entries = [
        entry("evict", "gemma3:12b", 500, 0.5, reason="Room for qwen3:8b."),
        entry("load", "qwen3:8b", 2900, 2.4, outcome="ok", reason="2 wait."),
        entry("load", "llama3.2:latest", 9000, 1.0, outcome="ok"),  # after its seat
        entry("quarantine", "qwen3:8b", 100, 0.1),  # no act that takes its time
    ]
    assert told(story.phases(record(), entries)) == [
        ("Evict gemma3:12b", 0, 500),
        ("In line", 0, 3000),
        ("Load qwen3:8b", 500, 2900),
        ("To the node", 3000, 3100),
        ("Prefill", 3100, 3500),
        ("Decode", 3500, 6000),
    ]


def test_a_load_that_began_before_the_request_is_cut_at_its_arrival() -> None:
    (load, *_) = story.phases(record(), [entry("load", "qwen3:8b", 1000, 5.0)])
    assert (load.start_ms, load.end_ms) == (0, 1000)


def test_a_reply_in_one_piece_is_told_from_the_nodes_own_seconds() -> None:
    whole = record(stream=False, load="warm", queue_ms=0, ttft_ms=3000, total_ms=3000)
    assert told(story.phases(whole, [])) == [
        ("To the node", 0, 200),
        ("Prefill", 200, 600),
        ("Decode", 600, 3000),
    ]


def test_a_request_that_never_had_a_token_says_so() -> None:
    failed = record(outcome="failed", ttft_ms=None, prompt_eval_ms=0, eval_ms=0, output_tokens=0)
    assert told(story.phases(failed, []))[-1] == ("At the node, no token", 3000, 6000)


def test_a_refused_request_has_no_phase_at_a_node() -> None:
    refused = record(outcome=Outcome.REFUSED, node="", load="", queue_ms=0, ttft_ms=None, total_ms=2)
    assert story.phases(refused, []) == []
    assert story.why_there(refused) == "It never had a seat, so no node saw it."


def test_figures_that_contradict_one_another_still_give_phases_in_order() -> None:
    odd = record(ttft_ms=9000, prompt_eval_ms=99_999, total_ms=2000)
    assert all(0 <= phase.start_ms <= phase.end_ms for phase in story.phases(odd, []))
    assert all(bar.x + bar.width <= 1000.01 for bar in story.bars(story.phases(odd, []), 3000))


def test_the_speed_counts_only_what_was_not_cached() -> None:
    (_, _, prefill, _) = story.phases(record(cached_tokens=600), [])
    assert prefill.said == "800 tokens, 600 of them cached, 500 a second"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "No resident could serve it when it came: it waited 3.0 s for a load on gpu1."),
        ({"load": "warm", "queue_ms": 0}, "qwen3:8b was resident on gpu1 with a free slot when it came."),
        ({"load": "warm"}, "qwen3:8b was resident on gpu1; it waited 3.0 s until a slot was free."),
        (
            {"load": "prefetched"},
            "qwen3:8b was resident on gpu1, loaded ahead of demand; this was its first request.",
        ),
    ],
)
def test_why_this_node_is_said(fields: dict[str, Any], why: str) -> None:
    assert story.why_there(record(**fields)) == why


@pytest.fixture
def waited(db: None) -> UsageRecord:
    entry("load", "qwen3:8b", -60_000, 9.0, outcome="failed", reason="It hung.").save()
    entry(
        "load", "qwen3:8b", 2900, 2.4, outcome="ok", cause="demand", reason="2 wait, the oldest 0.1 s."
    ).save()
    entry("evict", "gemma3:12b", 500, 0.5, outcome="ok", reason="Room for qwen3:8b.").save()
    LedgerEntry.objects.create(kind="evict", node="gpu2", model="mistral", at=NOON, seconds=1.0)
    stored = record(key="ab12cd34", key_name="notebook")
    stored.save()
    return stored


def test_the_page_shows_the_phases_and_the_decision_behind_the_node(
    vera: Client, waited: UsageRecord
) -> None:
    page = vera.get(f"/admin/bridge/usagerecord/{waited.pk}/change/")
    assert [bar.phase.name for bar in page.context["bars"]][:3] == [
        "Evict gemma3:12b",
        "In line",
        "Load qwen3:8b",
    ]
    assert page.context["brought"].reason == "2 wait, the oldest 0.1 s."
    text = page.content.decode()
    assert "Room for qwen3:8b." in text
    assert "mistral" not in text
    assert "style=" not in text


def test_who_may_not_see_the_ledger_reads_nothing_out_of_it_here(kim: Client, waited: UsageRecord) -> None:
    text = kim.get(f"/admin/bridge/usagerecord/{waited.pk}/change/").content.decode()
    assert "In line" in text
    assert "Room for" not in text
    assert "2 wait" not in text


def test_the_search_for_a_request_id_leads_to_its_page(vera: Client, waited: UsageRecord) -> None:
    found = vera.get("/admin/bridge/usagerecord/?q=req_1")
    assert found.url == f"/admin/bridge/usagerecord/{waited.pk}/change/"  # type: ignore[attr-defined]
    assert vera.get("/admin/bridge/usagerecord/?q=req_2").status_code == 200

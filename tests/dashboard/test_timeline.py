"""The timeline rebuilds from the ledger what lay where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.timeline import Span, pictures, spans
from scheduler.models import LedgerEntry, Node

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
START = NOW - timedelta(hours=24)
NONE: dict[str, frozenset[str]] = {}


def entry(kind: str, minutes_ago: float, model: str = "qwen3", **facts: object) -> LedgerEntry:
    at = NOW - timedelta(minutes=minutes_ago)
    return LedgerEntry(kind=kind, node="gpu1", model=model, at=at, **{"outcome": "ok", **facts})


def told(*entries: LedgerEntry, resident: dict[str, frozenset[str]] = NONE) -> list[tuple[float, float, str]]:
    """Minutes before now at which each stay began and ended, and why it ended."""
    stays: list[Span] = spans(entries, resident, START, NOW)
    return [
        ((NOW - stay.start).total_seconds() / 60, (NOW - stay.end).total_seconds() / 60, stay.left)
        for stay in stays
    ]


def test_a_stay_lasts_from_its_load_to_its_eviction() -> None:
    assert told(entry("load", 90, cause="demand"), entry("evict", 30, cause="pin")) == [(90, 30, "pin")]


def test_an_eviction_without_its_load_ends_a_stay_from_before_the_window() -> None:
    assert told(entry("evict", 30, cause="demand")) == [(24 * 60, 30, "demand")]


def test_what_is_resident_lasts_until_now_also_when_the_window_says_nothing_of_it() -> None:
    there = {"gpu1": frozenset({"qwen3"})}
    assert told(entry("load", 90), resident=there) == [(90, 0, "")]
    assert told(resident=there) == [(24 * 60, 0, "")]


def test_loads_and_evictions_that_failed_change_nothing() -> None:
    failed = entry("load", 90, outcome="out_of_memory")
    assert told(failed) == []
    kept = entry("evict", 60, outcome="failed")
    assert told(entry("load", 90), kept, entry("evict", 30)) == [(90, 30, "evicted")]


def test_a_node_that_comes_back_has_lost_what_it_held() -> None:
    back = entry("recover", 20, model="")
    assert told(entry("load", 90), back, entry("load", 10), resident={"gpu1": frozenset({"qwen3"})}) == [
        (90, 20, "node was away"),
        (10, 0, ""),
    ]


def test_a_planned_reload_does_not_begin_a_second_stay() -> None:
    assert told(entry("load", 90), entry("reload", 60), entry("evict", 30)) == [(90, 30, "evicted")]


def test_bars_are_to_scale_and_lie_within_the_picture() -> None:
    stays = spans([entry("load", 18 * 60), entry("evict", 12 * 60)], NONE, START, NOW)
    (picture,) = pictures(stays, START, NOW)
    (bar,) = picture.lanes[0].bars
    assert (bar.x, bar.width) == (250.0, 250.0)


def test_a_prefetch_shows_what_became_of_it() -> None:
    hit = entry("prefetch", 90, cause="prefetch", outcome="hit", saved_s=4.2)
    (stay,) = spans([hit, entry("evict", 30)], NONE, START, NOW)
    assert (stay.prefetch, stay.because) == ("hit", "prefetch: hit +4.20 s")
    (picture,) = pictures([stay], START, NOW)
    (bar,) = picture.lanes[0].bars
    assert bar.prefetch == "hit"
    assert "(prefetch: hit +4.20 s)" in bar.title
    there = {"gpu1": frozenset({"qwen3"})}
    (stay,) = spans([entry("prefetch", 9, cause="prefetch", outcome="")], there, START, NOW)
    assert stay.because == "prefetch: open"


def test_a_prefetch_that_was_called_off_or_only_thought_of_never_came() -> None:
    called_off = entry("prefetch", 90, cause="preempted", outcome="wasted", saved_s=-0.1)
    assert told(called_off, entry("shadow", 60, cause="prefetch", outcome="hit")) == []


@pytest.mark.django_db
def test_the_page_draws_and_lists_the_stays(vera: Client) -> None:
    scene = {"residents": [{"model": "qwen3:latest"}]}
    Node.objects.create(name="gpu1", url="http://gpu1:11434", state="up", scene=scene)
    at = timezone.now() - timedelta(minutes=90)
    LedgerEntry.objects.record("load", node="gpu1", model="qwen3:latest", cause="demand", outcome="ok", at=at)
    page = vera.get("/admin/timeline/").content.decode()
    assert page.count("<rect") == 1
    LedgerEntry.objects.record(
        "prefetch", node="gpu1", model="b", cause="prefetch", outcome="wasted", saved_s=-0.1, at=at
    )
    assert '<rect class="ahead wasted"' in vera.get("/admin/timeline/").content.decode()
    assert "qwen3:latest" in page
    assert "is there" in page
    assert "style=" not in page
    assert 'x="' in vera.get("/admin/timeline/?hours=1").content.decode()
    assert vera.get("/admin/timeline/?hours=nonsense").status_code == 200


@pytest.mark.django_db
def test_who_may_not_see_the_ledger_sees_no_timeline(kim: Client) -> None:
    assert kim.get("/admin/timeline/").status_code == 403

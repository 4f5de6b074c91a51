"""The VRAM report and its advice, on hand-made hours."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from bridge.accounting import costs, sums
from bridge.models import ApiKey, CostHour, ModelGaps, VramRollup
from bridge.models.audit import Actor, Source
from dashboard.reports import advice
from dashboard.reports.advice import Seen
from scheduler.models import CatalogModel, LedgerEntry, Node
from scheduler.policy.economy import Gaps
from tests.bridge.accounting.cast import DAY, GIB, at, insert, load, resident, row, sampled_hour

PERIOD = {"from": f"{DAY:%Y-%m-%d}", "to": f"{DAY:%Y-%m-%d}"}


@pytest.fixture(autouse=True)
def _for_ever(settings: Settings) -> None:
    settings.KEEP_USAGE_DAYS = 0


def work_out(*hours: int) -> None:
    sums.roll()
    for hour in hours:
        CostHour.objects.get_or_create(start=at(hour))
        costs.work_out(at(hour), at(48))


def report(**filters: str) -> dict[str, Any]:
    out = io.StringIO()
    told = [f"--{name}={value}" for name, value in {**PERIOD, **filters}.items()]
    call_command("report", "vram", "--json", *told, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())["tables"]
    return found


@pytest.mark.django_db
def test_nodes_tell_use_fragmentation_spill_and_downtime() -> None:
    there = resident("small:latest", 6, spilled=3 * GIB)
    sampled_hour(9, there, stranded_bytes=18 * GIB, wanted="large:latest", spilled_bytes=3 * GIB)
    sampled_hour(10, there, up=False)
    load(at(9, 5), 20)
    load(at(9, 6), 9, outcome="out_of_memory")
    load(at(9, 7), 1, kind="evict")
    work_out(9, 10)
    (node,) = report()["nodes"]["rows"]
    assert node == {
        "node": "gpu1",
        "total_gib": 24,
        "used_percent": 25,
        "free_gib": 18,
        "fragmentation_percent": 37.5,
        "stranded_percent": 50,
        "spilled_gib": 1.5,
        "loads": 1,
        "load_s": 29,
        "failed_loads": 1,
        "evictions": 1,
        "down_percent": 50,
    }


@pytest.mark.django_db
def test_models_tell_cold_starts_waits_thrash_and_the_error_of_estimates() -> None:
    sampled_hour(9, resident("small:latest", 6, predicted=5 * GIB))
    insert(
        row(at(9, 1), load="cold", queue_ms=7000),
        row(at(9, 2), load="warm"),
        row(at(9, 3), load="prefetched", queue_ms=0),
    )
    load(at(9, 0), 5)
    load(at(9, 10), 1, kind="evict")
    load(at(9, 15), 7)  # back within ten minutes
    load(at(9, 20), 1, kind="evict")
    load(at(9, 50), 6, kind="prefetch", outcome="hit")
    work_out(9)
    (model,) = report()["models"]["rows"]
    assert (model["cold_starts"], model["waited_s"], model["prefetched"]) == (1, 7, 1)
    assert (model["loads"], model["mean_load_s"], model["thrash"], model["prefetch_hits"]) == (3, 6, 1, 1)
    assert (model["resident_h"], model["estimate_error_percent"]) == (1, 20)


@pytest.mark.django_db
def test_reloads_name_who_is_to_blame() -> None:
    key = ApiKey.objects.issue(actor=Actor(name="ann", source=Source.COMMAND), name="long texts")[0]
    load(at(9), 12, kind="reload", cause="reload", key=key.public_id)
    load(at(9, 1), 8, kind="reload", cause="reload", key=key.public_id)
    LedgerEntry.objects.record("evict", node="gpu1", model="small:latest", cause="foreign", at=at(9, 2))
    first, second = report()["reloads"]["rows"]
    assert (first["name"], first["times"], first["seconds"]) == ("long texts", 2, 20)
    assert second["cause"] == "someone who talks to the node directly"


SEEN = Seen(
    model="small:latest",
    node="gpu1",
    samples=600,
    bytes=10 * GIB,
    kv_bytes=4 * GIB,
    num_ctx=32768,
    slots=4,
    kv_type="f16",
    most_in_flight=4,
    waiting=False,
    requests=1000,
    longest_tokens=20_000,
    node_bytes=40 * GIB,
    free_bytes=0,
    pressure=0.0,
    load_s=None,
    gaps=Gaps.none(),
)


def told(**changes: Any) -> list[tuple[str, str]]:
    return [(each.what, each.better) for each in advice.of(replace(SEEN, **changes))]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"longest_tokens": 3000}, [("context bucket", "4,096")]),
        ({"longest_tokens": 3500}, [("context bucket", "8,192")]),  # with room for what is longer
        ({"longest_tokens": 3000, "requests": 10}, []),  # too few to say so
        ({"most_in_flight": 1}, [("slots", "1")]),
        ({"waiting": True, "free_bytes": 2 * GIB}, [("slots", "5")]),
        ({"waiting": True, "free_bytes": GIB // 2}, []),
        ({"pressure": 0.3}, [("KV cache type", "q8_0")]),
        ({"pressure": 0.3, "kv_bytes": GIB}, []),
        ({"longest_tokens": 3000, "samples": 10}, []),
    ],
)
def test_advice_has_a_reason(changes: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert told(**changes) == said


@pytest.mark.parametrize(
    ("pressure", "gaps", "said"),
    [
        (0.0, [30.0] * 40, ""),
        (1.0, [4.0] * 30 + [5000.0] * 10, "4 s"),
        (1.0, [400.0] * 40, "let it go at once"),
        (1.0, [30.0] * 40, ""),  # nothing is saved by a timer
        (0.1, [900.0] * 3, "14 min"),  # 20 s of loading and waiting, at a quarter of the GPU in a tenth of it
    ],
)
def test_the_keep_time_follows_the_gaps_and_the_pressure(
    pressure: float, gaps: list[float], said: str
) -> None:
    found = told(pressure=pressure, kv_bytes=GIB, load_s=10.0, gaps=Gaps.of(gaps))
    assert found == ([("keep time", said)] if said else [])


@pytest.mark.django_db
def test_the_page_of_a_model_tells_how_long_it_is_worth_keeping(olga: Client) -> None:
    start = (timezone.now() - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    Node.objects.create(name="gpu1", url="http://gpu1:11434")
    model = CatalogModel.objects.create(name="small:latest")
    url = f"/admin/scheduler/catalogmodel/{model.pk}/change/"
    assert "Too little was seen" in olga.get(url).content.decode()
    for name, bytes_ in (("", 12 * GIB), ("small:latest", 6 * GIB)):
        VramRollup.objects.create(
            span=24, start=start.replace(hour=0), node="gpu1", model=name, samples=60, up=60,
            bytes=60 * bytes_, total_bytes=60 * 24 * GIB, pressed=0,
        )  # fmt: skip
    gaps = Gaps.of([30.0] * 50).as_json()
    ModelGaps.objects.create(start=start, model="small:latest", gaps=gaps, idle_since=start)
    load(start, 5)
    text = olga.get(url).content.decode()
    assert "On gpu1: as long as there is room. No other model lacked room" in text


@pytest.mark.django_db
def test_the_page_draws_the_use_of_vram(vera: Client) -> None:
    sampled_hour(9, resident("small:latest", 6), stranded_bytes=18 * GIB, wanted="large:latest")
    work_out(9)
    text = vera.get("/admin/reports/vram/", PERIOD).content.decode()
    assert "09:00 UTC, used: 25%" in text
    assert "09:00 UTC, stranded: 75%" in text
    assert "75.0 %" in text  # fragmentation, among the figures
    empty = vera.get("/admin/reports/vram/", {"from": "2025-01-01", "to": "2025-01-02"}).content.decode()
    assert "There are no VRAM samples of this period" in empty

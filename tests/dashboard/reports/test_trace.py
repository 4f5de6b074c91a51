"""The trace of a period: what is in it, what is not, and that a replay reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from dashboard.reports import sizes, trace
from scheduler.models import CatalogModel, Measurement, ModelOnNode, Node
from scheduler.replay.trace import COLUMNS, read
from tests.bridge.served import Served
from tests.dashboard.reports.cast import ASKED, SIZES, catalogue, record

database = pytest.mark.django_db


def exported(path: Path, *flags: str) -> list[list[str]]:
    call_command("report", "trace", "--from", "2026-11-20", "--csv", "-o", str(path), *flags)
    return [line.split(",") for line in path.read_text().splitlines()]


@database
def test_a_replay_reads_what_was_exported(tmp_path: Path) -> None:
    catalogue()
    record(0, after_s=0.5)
    record(1, after_s=7200.25, model="qwen3:8b", key="zz99zz99")
    record(2, after_s=3600, outcome="cancelled")
    exported(tmp_path / "day.csv")
    found = read(tmp_path / "day.csv")
    assert found.times == [0.5, 3600.0, 7200.25]
    assert [found.model_names[m] for m in found.models] == ["llama3.2:latest", "llama3.2:latest", "qwen3:8b"]
    assert (found.prompt_tokens, found.output_tokens) == ([10, 12, 11], [20, 22, 21])
    assert found.sizes_gb == [2.0, 5.2]
    assert found.keys == [0, 0, 1]
    assert found.unsorted == 0


@database
def test_the_columns_are_the_traces_own_and_the_outcome(tmp_path: Path) -> None:
    catalogue()
    record(0, after_s=1, outcome="failed", status=502)
    head, row = exported(tmp_path / "day.csv")
    assert tuple(head) == (*COLUMNS, "outcome")
    assert row[5] == "failed"


@database
def test_a_key_is_hashed_and_the_same_in_every_trace(tmp_path: Path) -> None:
    catalogue()
    record(0, after_s=1)
    record(1, after_s=2, key="zz99zz99")
    record(2, after_s=3)
    keys = [row[1] for row in exported(tmp_path / "day.csv")[1:]]
    assert keys[0] == keys[2] != keys[1]
    assert "ab12cd34" not in (tmp_path / "day.csv").read_text()
    assert [row[1] for row in exported(tmp_path / "again.csv")[1:]] == keys


@database
def test_only_the_period_is_in_it_and_what_the_fleet_could_have_served(tmp_path: Path) -> None:
    catalogue()
    record(0, after_s=-0.001)
    record(1, after_s=86_400)
    record(2, after_s=10, outcome="refused", status=429)
    record(3, after_s=20, outcome="refused", status=503)
    record(4, after_s=30, outcome="refused", status=404, model="")
    rows = exported(tmp_path / "day.csv")[1:]
    assert [(row[0], row[5]) for row in rows] == [("20.0", "refused")]


@database
def test_filters_narrow_it(tmp_path: Path) -> None:
    catalogue()
    record(0, after_s=1)
    record(1, after_s=2, team="mail", node="gpu2")
    record(2, after_s=3, model="qwen3:8b", key="zz99zz99")
    for flags, times in {
        ("--team", "mail"): ["2.0"],
        ("--node", "gpu1", "--key", "zz99zz99"): ["3.0"],
        ("--model", "llama3.2:latest"): ["1.0", "2.0"],
    }.items():
        assert [row[0] for row in exported(tmp_path / "day.csv", *flags)[1:]] == times


@database
def test_a_model_without_a_size_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue()
    record(0, after_s=1)
    record(1, after_s=2, model="gone:latest")
    assert len(exported(tmp_path / "day.csv")) == 2
    assert "1 requests are left out: the catalogue has no size of gone:latest" in capsys.readouterr().err
    assert set(SIZES) > {line.split(",")[0] for line in (tmp_path / "day.models.csv").read_text().split()[1:]}


@database
def test_json_has_the_rows_the_models_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    catalogue()
    record(0, after_s=1)
    record(1, after_s=2)
    call_command("report", "trace", "--from", "2026-11-20", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["report"], found["from"]) == ("trace", "2026-11-20T00:00:00+00:00")
    assert [row["timestamp_s"] for row in found["tables"]["requests"]["rows"]] == [1.0, 2.0]
    assert found["tables"]["models"]["rows"] == [{"model": "llama3.2:latest", "size_gb": 2.0}]
    totals = {"requests": 2, "prompt_tokens": 21, "output_tokens": 41, "left_out": 0}
    assert found["tables"]["requests"]["totals"] == totals


@database
def test_a_model_has_the_size_that_was_measured_else_predicted_else_of_its_file() -> None:
    node = Node.objects.create(name="gpu1", url="http://gpu1:11434", slots=2)
    facts = {"general.architecture": "llama", "llama.block_count": 32, "llama.attention.head_count": 32}
    facts |= {"llama.attention.head_count_kv": 8, "llama.embedding_length": 4096}
    for name, show in {"a:1": {}, "b:1": {"model_info": facts}, "c:1": {"model_info": facts}}.items():
        entry = CatalogModel.objects.create(name=name, size_bytes=5_000_000_000)
        ModelOnNode.objects.create(
            node=node,
            model=entry,
            digest=f"d-{name}",
            size_bytes=5_000_000_000,
            show=show,
            seen_at=timezone.now(),
        )
    Measurement.objects.learn(
        node="gpu1", digest="d-c:1", num_ctx=8192, slots=2, kv_type="f16", size_bytes=7_000_000_000,
        size_vram=7_000_000_000, load_s=None,
    )  # fmt: skip
    CatalogModel.objects.create(name="unknown:1")
    found = sizes.sizes_gb()
    assert (found["a:1"], found["c:1"]) == (5.0, 7.0)
    # 32 layers, 8 heads of 128 for keys and values in 2 bytes, two slots: 8192 tokens each.
    assert found["b:1"] == pytest.approx(5 + 32 * 8 * 128 * 2 * 2 * 2 * 8192 / 1e9, abs=0.8)
    assert found["b:1"] > 7.1
    assert "unknown:1" not in found


@database
def test_rows_come_as_they_are_asked_for() -> None:
    catalogue()
    for number in range(5):
        record(number, after_s=number)
    report = trace.build(ASKED)
    rows = iter(report.tables[0].rows)
    assert next(rows)[0] == 0.0
    assert report.tables[0].totals()["requests"] == 1


def test_traffic_of_a_real_bridge_is_replayed(served: Served, tmp_path: Path) -> None:
    with served.bridge.client(served.key) as client:
        for model in ("llama3.2", "qwen3", "llama3.2"):
            body = served.body("/api/chat", stream=False, model=model)
            answer = client.post("/api/chat", json=body)
            assert answer.status_code == 200
            served.bridge.record(answer.headers["x-request-id"])
    path = tmp_path / "today.csv"
    served.bridge.manage("report", "trace", "--from", "1h", "-o", str(path))
    text = path.read_text() + path.with_name("today.models.csv").read_text()
    assert not any(word in text for word in ("one two", "127.0.0.1", served.key[4:12]))
    figures = json.loads(
        served.bridge.manage("replay", str(path), "--policy", "lru", "--nodes", "1x24", "--json")
    )
    assert (figures["requests"], figures["loads"]) == (3, 2)

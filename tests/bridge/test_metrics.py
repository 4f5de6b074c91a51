"""/metrics of a served bridge: what it counts, who may see it, and that docs/metrics.md says the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import bridge.metrics
import scheduler.metrics
from bridge import rowgauges
from bridge.dialects import ollama
from bridge.dialects.counts import Counts
from bridge.exchange import Exchange
from bridge.management.commands.serve import share_metrics
from bridge.models import Actor, ApiKey, CostRollup
from bridge.models.rollups import DAY, HOUR
from bridge.views.metrics import allowed, shared
from scheduler.board.interface import Seat
from scheduler.models import LedgerEntry
from tests.bridge.served import Served
from tests.conftest import FakeNode, Serve
from tests.scheduler.board.server import BINARY, RedisServer
from tests.serving import Bridge

PREFIX = bridge.metrics.PREFIX
DOC = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
HEAD = "| name | type | labels | meaning |\n|---|---|---|---|\n"


def page(served: Bridge, **headers: str) -> str:
    with served.client("none") as client:
        reply = client.get("/metrics", headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.text


def value(text: str, sample: str, **labels: str) -> float:
    """The sum of the samples of this name with at least these labels."""
    families = text_string_to_metric_families(text)
    found = [s for family in families for s in family.samples if s.name == f"{PREFIX}_{sample}"]
    return sum(s.value for s in found if labels.items() <= s.labels.items())


def chat(served: Served, model: str = "llama3.2", **more: object) -> None:
    body = served.body("/api/chat", stream=True, model=model, **more)
    with served.bridge.client(served.key) as client:
        assert client.post("/api/chat", json=body).status_code == 200


def test_an_answered_request_is_counted_where_it_belongs(served: Served) -> None:
    before = page(served.bridge)
    chat(served)
    after = page(served.bridge)

    def grown(sample: str, **labels: str) -> float:
        return value(after, sample, **labels) - value(before, sample, **labels)

    model = "llama3.2:latest"
    assert grown("requests_total", endpoint="/api/chat", outcome="answered") == 1
    assert grown("request_success_total", model=model, finished_reason="length") == 1
    assert grown("generation_tokens_total", model=model) == 8
    assert grown("prompt_tokens_total", model=model) > 0
    for histogram in (
        "time_to_first_token_seconds",
        "e2e_request_latency_seconds",
        "request_queue_time_seconds",
        "request_time_per_output_token_seconds",
        "prompt_estimate_ratio",
    ):
        assert grown(f"{histogram}_count", model=model) == 1, histogram
    assert value(after, "requests_running") == value(after, "requests_waiting") == 0


def test_a_refused_request_is_counted_by_its_reason_and_never_by_what_was_typed(served: Served) -> None:
    with served.bridge.client(served.key) as client:
        client.post("/api/chat", json={"model": "typed-by-somebody", "messages": []})
    text = page(served.bridge)
    assert value(text, "requests_refused_total", reason="model_unknown") >= 1
    assert "typed-by-somebody" not in text
    assert served.key.split("_")[1] not in text


def test_the_scheduler_shows_its_loads_and_the_fleet(served: Served) -> None:
    chat(served, model="qwen3")
    served.bridge.until(lambda: value(page(served.bridge), "resident_slots", model="qwen3:latest") == 8)
    text = page(served.bridge)
    node = "127.0.0.1"
    assert value(text, "loads_total", node=node, model="qwen3:latest", cause="demand", outcome="ok") == 1
    assert value(text, "load_duration_seconds_count", node=node, model="qwen3:latest") == 1
    assert value(text, "leader") == 1
    assert value(text, "node_state", node=node, state="up") == 1
    assert value(text, "resident_bytes", model="qwen3:latest") > 5e9
    assert value(text, "vram_used_bytes", node=node) >= value(text, "resident_bytes", model="qwen3:latest")
    served.bridge.until(lambda: value(page(served.bridge), "transport_connections", state="idle") >= 1)


def test_promtool_has_nothing_to_say_against_the_page(served: Served) -> None:
    chat(served)
    with served.bridge.client("none") as client:
        client.get("/admin/login/")
    text = page(served.bridge)
    assert "django_http_requests_total" in text
    ours = "".join(
        line + "\n"
        for line in text.splitlines()
        if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(PREFIX)
    )
    checked = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_without_a_token_a_proxied_request_is_refused(served: Served, name: str) -> None:
    with served.bridge.client("none") as client:
        reply = client.get("/metrics", headers={name: "192.0.2.7"})
    assert reply.status_code == 403
    assert "BRIDGE_METRICS_TOKEN" in reply.text


@pytest.mark.parametrize(
    ("peer", "token", "given", "may"),
    [
        ("127.0.0.1", "", "", True),
        ("::1", "", "", True),
        ("192.0.2.1", "", "", False),
        (None, "", "", False),
        ("192.0.2.1", "secret", "Bearer secret", True),
        ("192.0.2.1", "secret", "Bearer wrong", False),
        ("127.0.0.1", "secret", "", False),
    ],
)
def test_who_may_see_the_page(peer: str | None, token: str, given: str, may: bool) -> None:
    headers = [(b"authorization", given.encode())] if given else []
    scope = {"client": (peer, 1) if peer else None, "headers": headers}
    assert allowed(scope, token) is may


def ours() -> Iterator[Metric]:
    yield from (metric for metric in REGISTRY.collect() if metric.name.startswith(PREFIX))
    yield from scheduler.metrics.FLEET.describe()
    yield from rowgauges.describe()


def labels_of(name: str) -> tuple[str, ...]:
    """Label names in order, from the instrument itself: one without samples shows none."""
    collectors = REGISTRY._names_to_collectors  # the registry has no public way to ask
    shown = [*scheduler.metrics.FLEET.describe(), *rowgauges.describe()]
    gauges = {family.name: family._labelnames for family in shown}  # type: ignore[attr-defined]
    return gauges[name] if name in gauges else collectors[name]._labelnames  # type: ignore[attr-defined]


def table() -> str:
    rows = []
    for metric in sorted(ours(), key=lambda metric: metric.name):
        shown = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in labels_of(metric.name))
        rows.append(f"| `{shown}` | {metric.type} | {labels} | {metric.documentation} |\n")
    return HEAD + "".join(rows)


def test_the_documentation_lists_every_metric_as_it_is() -> None:
    assert table() in DOC.read_text(encoding="utf-8"), f"docs/metrics.md needs this table:\n{table()}"


def exchange() -> Exchange:
    made = Exchange(
        id="r",
        address="",
        path="/api/chat",
        dialect=ollama.CHAT,
        emit=lambda record: None,
        release=lambda ticket, tokens: None,
    )
    made.seat = Seat(ticket="r", node="n", model="m", num_ctx=1, options={}, load="warm", queued_s=0.0)
    return made


def test_models_past_the_bound_share_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.metrics, "_models", {})
    monkeypatch.setattr(bridge.metrics, "MOST_MODELS", 2)
    for number in range(5):
        made = exchange()
        made.model = f"bounded-{number}"
        bridge.metrics.ended(made, Counts(output_tokens=1), "answered", "stop")
    succeeded = [m for m in REGISTRY.collect() if m.name == f"{PREFIX}_request_success"]
    models = {s.labels["model"] for m in succeeded for s in m.samples}
    assert {"bounded-0", "bounded-1", "other"} <= models
    assert not {"bounded-2", "bounded-3", "bounded-4"} & models


IN_A_PROCESS = """
import sys
from prometheus_client import Gauge, Counter
from bridge import metrics
metrics.RUNNING.inc(); metrics.RETRIES.inc()
print("counted", flush=True)
sys.stdin.read()
"""


def test_several_processes_share_one_page_and_a_dead_one_runs_nothing(tmp_path: Path) -> None:
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_PROCESS],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "counted\n"
        assert (read(tmp_path, "requests_running"), read(tmp_path, "node_retries_total")) == (2.0, 2.0)
        started[0].kill()
        started[0].wait()
        assert (read(tmp_path, "requests_running"), read(tmp_path, "node_retries_total")) == (1.0, 2.0)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def read(directory: Path, sample: str) -> float | None:
    registry: CollectorRegistry = shared(directory)
    return registry.get_sample_value(f"{PREFIX}_{sample}")


def test_a_token_opens_the_page_from_anywhere(fake_node: FakeNode, serve: Serve) -> None:
    served = serve([fake_node().url], BRIDGE_METRICS_TOKEN="scrape-me")
    assert served.get("/metrics").status_code == 403
    assert "requests_running" in page(
        served, Authorization="Bearer scrape-me", **{"X-Forwarded-For": "192.0.2.7"}
    )


def test_serve_starts_with_an_empty_directory_for_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    left = tmp_path / "metrics" / "counter_1.db"
    left.parent.mkdir()
    left.touch()
    share_metrics(left.parent)
    assert not left.exists()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(left.parent)


@pytest.mark.django_db
def test_the_balance_of_prefetches_and_keys_that_end_come_from_the_rows() -> None:
    for outcome, saved_s in (("hit", 5.0), ("hit", 4.0), ("wasted", -0.5), ("late", 2.0), ("", None)):
        LedgerEntry.objects.record(
            "prefetch", node="gpu1", model="m", outcome=outcome, seconds=5.0, saved_s=saved_s
        )
    LedgerEntry.objects.record("shadow", node="gpu1", model="m", outcome="harmful", saved_s=-3.0)
    old = timezone.now() - timedelta(days=2)
    LedgerEntry.objects.record("prefetch", node="gpu1", model="m", outcome="hit", saved_s=9.0, at=old)
    ApiKey.objects.issue(actor=Actor.at_shell(), name="ends", expires_at=timezone.now() + timedelta(days=3))
    prefetches, balance, shadow, _, _, expiring = rowgauges.read()
    assert {s.labels["outcome"]: s.value for s in prefetches.samples} == {
        "hit": 2,
        "wasted": 1,
        "late": 1,
        "open": 1,
    }
    assert balance.samples[0].value == 10.5
    assert shadow.samples[0].value == -3.0
    assert expiring.samples[0].value == 1


@pytest.mark.django_db
def test_what_gpus_cost_in_a_day_comes_from_the_sums() -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for start, span, part, micros in (
        (hour, HOUR, "decode", 250_000),
        (hour - timedelta(hours=3), HOUR, "decode", 500_000),
        (hour - timedelta(hours=3), HOUR, "idle", 1_000_000),
        (hour - timedelta(hours=30), HOUR, "decode", 7_000_000),  # too long ago
        (hour, DAY, "decode", 9_000_000),  # the same once more, in the sum of the day
    ):
        CostRollup.objects.create(
            start=start, span=span, node="gpu1", part=part, micros=micros, gpu_us=micros * 2
        )
    cost, gpu_seconds = rowgauges.read()[3:5]
    assert {s.labels["part"]: s.value for s in cost.samples} == {"decode": 0.75, "idle": 1.0}
    assert {s.labels["part"]: s.value for s in gpu_seconds.samples} == {"decode": 1.5, "idle": 2.0}
    assert {s.labels["node"] for s in cost.samples} == {"gpu1"}


@pytest.mark.skipif(BINARY is None, reason="redis-server is not installed.")
def test_whichever_web_process_is_asked_answers_for_all_of_them(fake_node: FakeNode, serve: Serve) -> None:
    redis = RedisServer(tcp=True)
    try:
        workers = {"REDIS_URL": redis.url, "BRIDGE_WORKERS": "2", "BRIDGE_SCHEDULER": "on"}
        two = serve([fake_node().url], **workers)
        key = two.key("several")
        for _ in range(12):
            with two.client(key) as client:  # each on a connection of its own: some reach either process
                assert client.get("/api/tags").status_code == 200
        listed = {"endpoint": "/api/tags", "outcome": "answered"}
        assert {value(page(two), "requests_total", **listed) for _ in range(8)} == {12.0}
        pids = {file.stem.rpartition("_")[2] for file in (two.data_dir / "metrics").glob("counter_*.db")}
        assert len(pids) == 2
        two.stop()
    finally:
        redis.close()

"""/admin/plan/: who may plan, what may be asked, how far it is, what came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from bridge.models import AuditEvent, UsageRecord
from dashboard.planning import page, traffic
from scheduler.models import CatalogModel, GpuType, PlanRun
from scheduler.planning import carry

pytestmark = pytest.mark.django_db
migration = import_module("scheduler.migrations.0009_gpu_types")
HEADER = "timestamp_s,app_or_session,model,prompt_tokens,output_tokens\n"
ROWS = "".join(f"{20 * i},k{i % 2},{'abc'[i % 3]},0,100\n" for i in range(60))
SIZES = "model,size_gb\na,10\nb,10\nc,10\n"


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nothing is started; what is asked for waits until a test carries it out."""
    counted: list[int] = []
    monkeypatch.setattr(page, "launch", lambda: counted.append(1))
    return counted


@pytest.fixture
def types() -> list[GpuType]:
    GpuType.objects.all().delete()
    return [
        GpuType.objects.create(name=name, vram_gb=vram, usd_per_hour=usd)
        for name, vram, usd in (("cheap", 12, "0.1"), ("large", 32, "1"))
    ]


def form(types: list[GpuType], **changes: object) -> dict[str, object]:
    asked: dict[str, object] = {
        "source": "upload",
        "trace": SimpleUploadedFile("t.csv", (HEADER + ROWS).encode()),
        "sizes": SimpleUploadedFile("t.models.csv", SIZES.encode()),
        "figure": "wait_p95_s",
        "seconds": "2",
        "kinds": [each.pk for each in types],
        "policy": "bridge-plain",
        "most_nodes": "4",
        "slots": "4",
        "growth": "1",
        "pins": "",
    }
    return {name: value for name, value in (asked | changes).items() if value is not None}


def test_an_operator_asks_follows_and_reads(olga: Client, types: list[GpuType], launched: list[int]) -> None:
    assert "cheap: 12 GB, $0.10 an hour" in olga.get("/admin/plan/").content.decode()
    reply = olga.post("/admin/plan/", form(types, pins="a*1\n"))
    run = PlanRun.objects.get()
    assert reply["Location"] == f"/admin/plan/{run.pk}/"
    assert (run.asked_by, run.question["pins"], len(launched)) == ("olga", [["a", 1]], 1)
    assert "waits for its turn" in olga.get(reply["Location"]).content.decode()
    carry.waiting(nice=0)
    text = olga.get(reply["Location"]).content.decode()
    assert "<strong>3x cheap</strong> is the cheapest" in text
    assert text.count('<g class="fleet">') == PlanRun.objects.get().done
    assert "60 requests are few" in text
    assert "style=" not in text
    assert "3x cheap, $219 a month" in olga.get("/admin/plan/").content.decode()


def test_progress_is_told_as_json(olga: Client, types: list[GpuType]) -> None:
    olga.post("/admin/plan/", form(types))
    run = PlanRun.objects.get()
    PlanRun.objects.claim()
    run.beat(done=2, expected=7, said="so far 4x cheap, $292")
    told = olga.get(f"/admin/plan/{run.pk}/progress.json").json()
    assert told == {
        "state": "running",
        "shown": "running",
        "over": False,
        "done": 2,
        "expected": 7,
        "said": "so far 4x cheap, $292",
    }
    assert "2 of at most 7 fleets" in olga.get(f"/admin/plan/{run.pk}/").content.decode()


def test_a_cancelled_plan_is_over_and_the_audit_log_knows_who(olga: Client, types: list[GpuType]) -> None:
    olga.post("/admin/plan/", form(types))
    run = PlanRun.objects.get()
    olga.post(f"/admin/plan/{run.pk}/cancel/")
    assert "It was cancelled." in olga.get(f"/admin/plan/{run.pk}/").content.decode()
    events = AuditEvent.objects.filter(kind="plan").order_by("id")
    assert [(e.action, e.actor) for e in events] == [("plan.add", "olga"), ("plan.cancel", "olga")]
    assert "trace" not in events[0].after
    olga.post(f"/admin/plan/{run.pk}/cancel/")
    assert AuditEvent.objects.filter(kind="plan").count() == 2


def test_a_failed_plan_says_why(olga: Client, types: list[GpuType]) -> None:
    olga.post(
        "/admin/plan/", form(types, trace=SimpleUploadedFile("t.csv", HEADER.encode() + b"x,k,<b>,1,1\n"))
    )
    carry.waiting(nice=0)
    text = olga.get(f"/admin/plan/{PlanRun.objects.get().pk}/").content.decode()
    assert "trace.csv, line 2: timestamp_s must be seconds" in text


def test_our_own_traffic_of_yesterday_is_planned_for(olga: Client, types: list[GpuType]) -> None:
    CatalogModel.objects.create(name="a:latest", size_bytes=10_000_000_000)
    noon = timezone.now().astimezone(UTC).replace(hour=12, minute=0) - timedelta(days=1)
    for number in range(30):
        UsageRecord.objects.create(
            request_id=f"r{number}",
            at=noon + timedelta(seconds=number),
            key="ab12cd34",
            model="a:latest",
            output_tokens=50,
            outcome="answered",
            status=200,
        )
    olga.post("/admin/plan/", form(types, source="1", trace=None, sizes=None, figure="wait_p50_s"))
    run = PlanRun.objects.get()
    assert run.source == f"own traffic of {noon:%Y-%m-%d}, 30 requests"
    assert run.sizes == "model,size_gb\na:latest,10.0\n"
    carry.waiting(nice=0)
    run.refresh_from_db()
    assert run.answer["best"]["gpu"] == "cheap"


def test_days_without_traffic_cannot_be_planned_for(olga: Client, types: list[GpuType]) -> None:
    reply = olga.post("/admin/plan/", form(types, source="7", trace=None, sizes=None))
    assert reply.status_code == 200
    assert "There is no own traffic of" in reply.content.decode()
    assert not PlanRun.objects.exists()


def test_without_its_list_of_models_an_uploaded_trace_has_the_catalogues_sizes(
    olga: Client, types: list[GpuType]
) -> None:
    CatalogModel.objects.create(name="a", size_bytes=10_000_000_000)
    olga.post("/admin/plan/", form(types, sizes=None))
    assert PlanRun.objects.get().sizes == "model,size_gb\na,10.0\n"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trace": None}, "Choose the file."),
        ({"kinds": []}, "Choose at least one type."),
        ({"pins": "a*many"}, "is no pin"),
        ({"seconds": "-1"}, "greater than or equal to 0"),
        ({"most_nodes": "65"}, "less than or equal to 64"),
        ({"growth": "0"}, "greater than or equal to 0.1"),
        ({"policy": "oracle"}, "not one of the available choices"),
        ({"sizes": SimpleUploadedFile("m.csv", b"\xff\xfe")}, "not UTF-8"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    olga: Client, types: list[GpuType], changes: dict[str, object], says: str
) -> None:
    reply = olga.post("/admin/plan/", form(types, **changes))
    assert reply.status_code == 200
    assert says in reply.content.decode()
    assert not PlanRun.objects.exists()


def test_more_than_the_page_is_meant_for_is_sent_to_the_command_line(
    olga: Client, types: list[GpuType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "MOST_REQUESTS", 10)
    reply = olga.post("/admin/plan/", form(types))
    assert "manage.py plan --jobs" in reply.content.decode()
    monkeypatch.setattr(traffic, "MOST_BYTES", 10)
    assert "larger than" in olga.post("/admin/plan/", form(types)).content.decode()


@pytest.mark.parametrize(("who", "status"), [("vera", 403), ("kim", 403), ("olga", 200), ("ada", 200)])
def test_only_operators_plan(
    who: str, status: int, types: list[GpuType], request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    run = PlanRun.objects.create(
        asked_by="olga", source="x", question={"targets": {}, "policies": []}, trace=b"", sizes=""
    )
    paths = ["/admin/plan/", f"/admin/plan/{run.pk}/", f"/admin/plan/{run.pk}/progress.json"]
    assert [client.get(path).status_code for path in paths] == [status] * 3
    assert ("/admin/plan/" in client.get("/admin/").content.decode()) == (status == 200)
    if status == 403:
        assert client.post("/admin/plan/", form(types)).status_code == 403
        assert client.post(f"/admin/plan/{run.pk}/cancel/").status_code == 403
        run.refresh_from_db()
        assert run.state == "waiting"


def test_a_plan_whose_process_died_is_said_to_have_failed(olga: Client, types: list[GpuType]) -> None:
    olga.post("/admin/plan/", form(types))
    PlanRun.objects.claim()
    PlanRun.objects.update(beat_at=datetime(2026, 1, 1, tzinfo=UTC))
    text = olga.get(f"/admin/plan/{PlanRun.objects.get().pk}/").content.decode()
    assert "The process that replayed it ended" in text


def test_operators_edit_the_types_and_the_audit_log_has_the_price(olga: Client, types: list[GpuType]) -> None:
    url = f"/admin/scheduler/gputype/{types[0].pk}/change/"
    facts = {"name": "cheap", "enabled": "on", "vram_gb": "12", "load_gbps": "2", "speed": "1", "note": ""}
    assert olga.post(url, facts | {"usd_per_hour": "0.2"}).status_code == 302
    event = AuditEvent.objects.get(kind="gpu type")
    assert (event.before["usd_per_hour"], event.after["usd_per_hour"]) == ("0.1000", "0.2")
    assert "146" in olga.get("/admin/scheduler/gputype/").content.decode()
    bad = olga.post(url, facts | {"usd_per_hour": "0", "vram_gb": "-1"}).content.decode()
    assert bad.count("errorlist") >= 2


def test_the_table_of_types_is_seeded_and_its_prices_are_called_examples() -> None:
    migration.seed(
        apps, None
    )  # once more, as tests with real transactions empty the tables; it adds nothing twice
    seeded = {row.name: row for row in GpuType.objects.all()}
    assert {"RTX 4090", "L4", "A100 80GB"} <= set(seeded)
    assert all("Example price" in row.note for row in seeded.values())
    assert seeded["RTX 4090"].speed == pytest.approx(1008 / 900, abs=0.01)


def test_a_process_is_started_once_and_reaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real launcher, with a command that ends when its input does."""
    from dashboard.planning import launch

    monkeypatch.setattr(launch, "COMMAND", ("-c", "import time; time.sleep(60)"))
    launch.launch()
    first = launch._child
    assert first is not None
    launch.launch()
    assert launch._child is first
    first.kill()
    first.wait(10)
    launch.launch()
    second = launch._child
    assert second is not None
    assert second.pid != first.pid
    second.kill()
    assert second.wait(10) != 0

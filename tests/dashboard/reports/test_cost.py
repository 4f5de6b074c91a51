"""The cost report on a day whose figures are known."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from bridge.accounting import costs, sums
from bridge.models import ApiKey, AuditEvent, CostHour, CostRollup, Team
from bridge.models.audit import Actor, Source
from scheduler.models import HostedPrice, Node
from tests.bridge.accounting.cast import DAY, at, insert, load, refused, resident, row, sampled_hour

pytestmark = pytest.mark.django_db
ANN = Actor(name="ann", source=Source.ADMIN)
PERIOD = {"from": f"{DAY:%Y-%m-%d}", "to": f"{DAY:%Y-%m-%d}"}


@pytest.fixture(autouse=True)
def _for_ever(settings: Settings) -> None:
    settings.KEEP_USAGE_DAYS = 0


@pytest.fixture
def day() -> dict[str, str]:
    """An hour of one node at 3.60: 8 s of one key, 12 s of another, a load, a pin. Ids by name."""
    Node.objects.create(name="gpu1", url="http://gpu1:11434", price_per_hour=Decimal("3.60"))
    app = ApiKey.objects.issue(actor=ANN, name="app", team="red")[0].public_id
    batch = ApiKey.objects.issue(actor=ANN, name="batch", team="blue")[0].public_id
    sampled_hour(9, resident("kept:latest", 12, pin="day shift", team="red"))
    insert(
        row(at(9, 10), key=app),
        row(at(9, 20), key=batch, team="blue", eval_ms=10_000, total_ms=14_000),
        refused(at(9, 30), "rate", 429, key=app),
    )
    load(at(9, 5), 20, key=app)
    AuditEvent.objects.record(ANN, "pin.add", kind="pin", target="day shift", name="day shift")
    work_out(9)
    return {"app": app, "batch": batch}


def work_out(*hours: int) -> None:
    sums.roll()
    for hour in hours:
        CostHour.objects.get_or_create(start=at(hour))
        costs.work_out(at(hour), at(48))


def report(**filters: str) -> dict[str, Any]:
    """As the command writes it."""
    out = io.StringIO()
    told = [f"--{name}={value}" for name, value in {**PERIOD, **filters}.items()]
    call_command("report", "cost", "--json", *told, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())["tables"]
    return found


def test_the_parts_are_those_of_the_hour_and_add_up_to_the_bill(day: dict[str, str]) -> None:
    tables = report()
    parts = {each["part"]: each for each in tables["parts"]["rows"]}
    assert {name: part["gpu_s"] for name, part in parts.items()} == {
        "prefill": 4,
        "decode": 16,
        "load": 20,
        "idle_pinned": 1780,
        "idle_empty": 1780,
    }
    assert parts["decode"]["cost"] == "0.02"
    assert tables["parts"]["totals"]["cost"] == "3.60"
    assert sum(Decimal(part["cost"]) for part in parts.values()) == Decimal("3.60")
    (of_day,) = tables["days"]["rows"]
    assert (of_day["day"], of_day["node"], of_day["total"]) == (f"{DAY:%Y-%m-%d}", "gpu1", "3.60")
    assert sum(Decimal(of_day[part]) for part in parts) == Decimal("3.60")


def test_keys_teams_and_models_are_charged_with_what_they_caused(day: dict[str, str]) -> None:
    tables = report()
    keys = {each["name"]: each for each in tables["keys"]["rows"]}
    assert (keys["app"]["prefill_s"], keys["app"]["decode_s"], keys["app"]["load_s"]) == (2, 6, 20)
    assert (keys["batch"]["cost"], keys["batch"]["tokens"]) == ("0.01", 150)
    assert sum(Decimal(each["cost"]) for each in tables["keys"]["rows"]) == Decimal("3.60")
    teams = {each["team"]: each for each in tables["teams"]["rows"]}
    assert teams["red"]["idle_s"] == 1780
    assert Decimal(teams["red"]["cost"]) == Decimal("1.81")
    models = {each["model"]: each for each in tables["models"]["rows"]}
    assert models["small:latest"]["tokens"] == 300
    assert Decimal(models["small:latest"]["per_million"]) == Decimal("133.3333")


def test_an_idle_pin_is_charged_to_who_pinned_it(day: dict[str, str]) -> None:
    (pin,) = report()["pins"]["rows"]
    assert (pin["pin"], pin["team"], pin["pinned_by"], pin["cost"]) == ("day shift", "red", "ann", "1.78")


def test_filters_narrow_everything(day: dict[str, str]) -> None:
    tables = report(key=day["batch"])
    assert {each["part"] for each in tables["parts"]["rows"]} == {"prefill", "decode"}
    assert report(team="blue")["parts"]["totals"] == tables["parts"]["totals"]
    assert report(model="kept:latest")["parts"]["totals"]["gpu_s"] == 1780
    assert report(node="gpu2")["parts"]["rows"] == []


def test_a_hosted_price_is_compared_with_what_its_models_cost_here(day: dict[str, str]) -> None:
    HostedPrice.objects.create(
        name="hosted small", stands_for="small", input_price=Decimal(1000), output_price=Decimal(5000)
    )
    (offer,) = report()["hosted"]["rows"]
    assert (offer["models"], offer["tokens"]) == ("small:latest", 300)
    assert offer["there"] == "0.70"  # 200 prompt and 100 output tokens
    assert (offer["here"], offer["saved"]) == ("0.04", "0.66")


def test_before_and_after_come_from_the_same_rows(day: dict[str, str]) -> None:
    insert(row(at(33, 10), load="cold", queue_ms=4000, model="other:latest"), row(at(33, 11), load="warm"))
    sampled_hour(33)
    work_out(33)
    after, dedicated = report(**{"from": "2026-03-03", "to": "2026-03-03"})["before"]["rows"][1:]
    earlier = report(**{"from": "2026-03-03", "to": "2026-03-03"})["before"]["rows"][0]
    assert (earlier["cost"], after["cost"], after["cold_percent"], after["waited_s"]) == (
        "3.60",
        "3.60",
        50,
        3,
    )
    assert (dedicated["what"], dedicated["cost"]) == ("a GPU for each of the 2 models", "7.20")


def test_a_node_without_a_price_is_named(day: dict[str, str]) -> None:
    sampled_hour(10, node="gpu9")
    work_out(10)
    notes = io.StringIO()
    call_command("report", "cost", f"--from={PERIOD['from']}", "--csv", stdout=io.StringIO(), stderr=notes)
    assert "No price is entered for gpu9" in notes.getvalue()


def test_the_page_shows_the_figures_of_the_command(day: dict[str, str], vera: Client) -> None:
    page = vera.get("/admin/reports/cost/", PERIOD)
    text = page.content.decode()
    assert page.status_code == 200
    assert "3.60 USD" in text
    assert "idle, pinned" in text
    assert "<script" not in text.split("<figure")[1].split("</figure>")[0]
    assert " style=" not in text.split('class="report-filters"')[1]
    assert "day shift" in text


def test_a_table_comes_as_csv_with_the_same_rows(day: dict[str, str], vera: Client) -> None:
    reply = vera.get("/admin/reports/cost/", {**PERIOD, "csv": "keys"})
    assert reply["Content-Type"].startswith("text/csv")
    assert 'filename="cost-keys-2026-03-02.csv"' in reply["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.content.decode())))
    assert [each["cost"] for each in rows] == [each["cost"] for each in report()["keys"]["rows"]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"from": "soon"}, "is no time"),
        ({"from": "2026-03-05", "to": "2026-03-01"}, "ends before it begins"),
        ({"from": "2026-03-02", "key": "<b>"}, "&lt;b&gt;"),
        ({"csv": "no such table"}, "part,meaning"),
    ],
)
def test_a_page_answers_whatever_it_is_asked(query: dict[str, str], said: str, vera: Client) -> None:
    page = vera.get("/admin/reports/cost/", query)
    assert page.status_code == 200
    assert said in page.content.decode()


def test_who_may_not_see_usage_sees_no_costs(kim: Client, roles: None) -> None:
    assert kim.get("/admin/reports/vram/").status_code == 403
    assert kim.get("/admin/reports/auth/").status_code == 200
    assert kim.get("/admin/reports/nothing/").status_code == 404


def test_a_team_shows_what_it_spent(day: dict[str, str], ada: Client) -> None:
    team = Team.objects.create(name="red", budget_money_month=Decimal(5))
    CostRollup.objects.create(span=24, start=at(0), node="gpu1", part="load", team="red", gpu_us=1, micros=1)
    page = ada.get("/admin/bridge/team/")
    assert "0.00 USD" in page.content.decode()
    assert ada.get(f"/admin/bridge/team/{team.pk}/change/").status_code == 200
    assert ada.get("/admin/scheduler/nodeprice/").status_code == 200
    saved = ada.post(
        "/admin/scheduler/hostedprice/add/",
        {"name": "x", "stands_for": "small*", "input_price": "1", "output_price": "2", "as_of": "2026-03-01"},
    )
    assert saved.status_code == 302
    assert AuditEvent.objects.filter(action="hosted price.add").exists()

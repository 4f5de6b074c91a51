"""The same day on PostgreSQL: sums, costs and reports say what SQLite says, and no record is overtaken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.postgres import PostgresServer
from tests.serving import ROOT, copied

# Run by the interpreter of a process whose database is DATABASE_URL, or SQLite.
FILL = """
import django; django.setup()
from decimal import Decimal
from django.utils import timezone
from bridge.accounting import costs, sums, pruning
from bridge.models import CostHour
from scheduler.models import Node
from tests.bridge.accounting.cast import *
Node.objects.create(name="gpu1", url="http://gpu1:1", price_per_hour=Decimal("0.77"))
sampled_hour(9, resident("small:latest", 6, pin="day shift", team="red"), stranded_bytes=GIB, wanted="large")
insert(*(row(at(9, n / 7), key=f"key{n % 3}", load="cold" if n % 5 else "warm", address="2001:db8::1")
    for n in range(300)))
insert(*(refused(at(9, n), "rate", 429, address="192.0.2.7") for n in range(20)))
load(at(9, 5), 20); load(at(9, 8), 1, kind="evict"); load(at(9, 9), 4)
while sums.roll(): pass
for hour in costs.due(at(30)):
    costs.work_out(hour, at(30))
import io, json
from django.core.management import call_command
told = {}
for name in ("auth", "vram", "cost"):
    out = io.StringIO()
    call_command("report", name, "--from=2026-03-02", "--to=2026-03-02", "--json", stdout=out)
    told[name] = json.loads(out.getvalue())
print(json.dumps(told))
"""
OVERTAKE = """
import django; django.setup()
import threading
from django.db import connection, transaction
from bridge.accounting import sums
from bridge.models import UsageRecord, UsageRollup
from tests.bridge.accounting.cast import at, insert, row
begun, go_on, seen = threading.Event(), threading.Event(), []
def slow():
    with transaction.atomic():
        insert(row(at(9)))  # takes the smaller id, and is committed later
        begun.set()
        go_on.wait(20)
    connection.close()
def quick():
    insert(row(at(9)))
    seen.append(sums.roll())
    connection.close()
first = threading.Thread(target=slow); first.start(); begun.wait(20)
second = threading.Thread(target=quick); second.start()
second.join(0.5)
assert second.is_alive(), "it did not wait for the smaller id"
go_on.set(); first.join(); second.join()
sums.roll()
add = sums._batch
def beside(mark, to):  # whoever inserts does not wait while records are added up
    third = threading.Thread(target=lambda: (insert(row(at(9))), connection.close()))
    third.start(); third.join(10)
    assert not third.is_alive(), "an insert waited"
    return add(mark, to)
sums._batch = beside
insert(row(at(9)))
assert sums.roll() == 1
sums._batch = add
sums.roll()
print(sum(r.requests for r in UsageRollup.objects.filter(span=1)))
"""


def run(env: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(data: Path, url: str = "") -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "DJANGO_", "DATABASE_"))}
    env = kept | {
        "BRIDGE_DATA_DIR": str(data),
        "BRIDGE_KEEP_USAGE_DAYS": "0",
        "DJANGO_SETTINGS_MODULE": "bridge.settings",
    }
    return env | ({"DATABASE_URL": url} if url else {})


def reports(env: dict[str, str]) -> dict[str, Any]:
    """Fill it and read all three."""
    found: dict[str, Any] = json.loads(run(env, "-c", FILL))
    return found


def test_reports_say_the_same_on_both_databases(
    empty_data: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    on_sqlite = reports(environment(copied(empty_data, tmp_path / "data")))
    on_postgres = reports(environment(tmp_path, postgres_server.database()))
    assert on_postgres == on_sqlite
    assert on_sqlite["cost"]["tables"]["parts"]["totals"]["cost"] == "11.55"  # 15 hours, most of them unseen
    assert on_sqlite["vram"]["tables"]["models"]["rows"][0]["thrash"] == 1
    assert on_sqlite["auth"]["tables"]["refusals"]["rows"][0]["requests"] == 20


def test_a_record_whose_transaction_ends_late_is_not_overtaken(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    assert run(environment(tmp_path, postgres_server.database()), "-c", OVERTAKE).strip() == "4"

"""`make bench-reports`: how long the reports take over millions of usage records, on both databases.

A month of records, samples and loads is made up inside the database. Sums come from the records by the way
that a running bridge goes; costs of the last hours too, and those of the other hours are made up from the
sums, which gives as many rows. Each report is built three times, every table read to its end; the median is
told.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDS = {"sqlite": 1_000_000, "postgresql": 10_000_000}
BOUND_S = 1.0
DAYS, KEYS, MODELS, NODES, TEAMS = 30, 100, 10, 4, 8
REAL_HOURS = 6  # whose costs are worked out from the records
CHUNK = 500_000
SETTINGS = ("shared_buffers=1GB", "work_mem=32MB", "max_wal_size=4GB", "synchronous_commit=off")
REPORTS = ("auth", "vram", "cost")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=[*RECORDS, "both"], default="both")
    parser.add_argument("--records", type=int, help="instead of the numbers that are promised")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.records)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends with it
    found = {}
    for name in RECORDS if options.on == "both" else [options.on]:
        records = options.records or RECORDS[name]
        with database(name) as env:
            found[name] = measured_in_a_process(env, records)
        show(name, records, found[name])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return int(any(s > BOUND_S for each in found.values() for s in each["reports_s"].values()))


@contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """The environment of a fresh one."""
    from tests.postgres import PostgresServer

    kept = {n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "DATABASE_", "REDIS_"))}
    with tempfile.TemporaryDirectory(prefix="bench-reports-") as directory:
        env = kept | {"BRIDGE_DATA_DIR": directory, "DJANGO_SETTINGS_MODULE": "bridge.settings"}
        server = PostgresServer(*SETTINGS) if name == "postgresql" else None
        try:
            if server is not None:
                env["DATABASE_URL"] = server.database()
            else:
                command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
                subprocess.run(command, cwd=ROOT, env=env, check=True)
            yield env
        finally:
            if server is not None:
                server.close()


def measured_in_a_process(env: dict[str, str], records: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.reports", "--measure", "--records", str(records)]
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(name: str, records: int, found: dict[str, Any]) -> None:
    print(f"{name}, {records:,} usage records of {DAYS} days; rows of sums: {found['rows']}")
    print(f"  filled in {found['fill_s']:.0f} s, added up in {found['sums_s']:.0f} s")
    print(f"  costs of an hour worked out in {found['hour_s']:.2f} s")
    for report, seconds in found["reports_s"].items():
        print(f"  {report:<22} {seconds:6.3f} s {'' if seconds <= BOUND_S else f'over {BOUND_S} s'}")


# -- in the process


def measure(records: int) -> dict[str, Any]:
    import django

    django.setup()
    fill_s = took(lambda: fill(records))
    sums_s = took(add_up)
    hour_s = took(work_out) / REAL_HOURS
    made_up_costs()
    return {
        "fill_s": fill_s,
        "sums_s": sums_s,
        "hour_s": hour_s,
        "rows": counted(),
        "reports_s": dict(timed_reports()),
    }


def took(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def fill(records: int) -> None:
    """The rows of a month, the newest a minute old."""
    from datetime import timedelta

    from django.db import connection
    from django.utils import timezone

    from bridge.models import UsageRecord

    begin = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    step = timedelta(days=DAYS).total_seconds() / records
    words = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
    with connection.schema_editor() as editor:  # made again below: ten millions go in twice as quickly
        for index in UsageRecord._meta.indexes:
            editor.remove_index(UsageRecord, index)
    for first in range(0, records, CHUNK):
        last = min(first + CHUNK, records)
        numbers = {"first": first + 1, "last": last, "begin": f"{begin:%Y-%m-%d %H:%M:%S}", "step": step}
        with connection.cursor() as cursor:
            cursor.execute(statement(words, **numbers))
        print(f"{last:,} records", file=sys.stderr, flush=True)
    with connection.schema_editor() as editor:
        for index in UsageRecord._meta.indexes:
            editor.add_index(UsageRecord, index)
    _people()
    _samples(begin)
    assert UsageRecord.objects.order_by("-id").values_list("id", flat=True)[0] >= records


COLUMNS = (
    *(
        "request_id",
        "at",
        "key",
        "key_name",
        "team",
        "model",
        "node",
        "dialect",
        "route",
        "client",
        "address",
    ),
    *("stream", "prompt_tokens", "cached_tokens", "output_tokens", "queue_ms", "load_ms", "ttft_ms"),
    *("total_ms", "prompt_eval_ms", "eval_ms", "load", "outcome", "reason", "status"),
)
VALUES = (
    *("'bench' || n", "{at}", "'key' || {key}", "'key'", f"'team' || ({{key}} % {TEAMS})"),
    *("'model' || {model} || ':latest'", f"CASE WHEN n % 33 = 0 THEN '' ELSE 'gpu' || (n % {NODES}) END"),
    *("'ollama'", "'/api/chat'", "'curl'", "{address}", "{true}", "n % 3000", "n % 50", "n % 700", "n % 300"),
    *("0", "100", "700 + n % 9000", "100 + n % 300", "500 + n % 8000"),
    "CASE WHEN n % 33 = 0 THEN '' WHEN n % 20 = 0 THEN 'cold' ELSE 'warm' END",
    "CASE WHEN n % 33 = 0 THEN 'refused' WHEN n % 25 = 0 THEN 'cancelled' ELSE 'answered' END",
    *("CASE WHEN n % 33 = 0 THEN 'rate' ELSE '' END", "200"),
)
HASHED = "((n * 2654435761) % 4294967296)"  # Knuth's multiplicative hash
# Some keys are used much more than others: the square of an even number between 0 and 1.
POSTGRESQL = {
    "at": "timestamptz '{begin}+00' + n * interval '1 second' * {step}",
    "key": f"floor(power({HASHED} / 4294967296.0, 2) * {KEYS})::int",
    "model": f"(n * 40503 % 65536 * {MODELS} / 65536)",
    "address": "('10.0.' || n % 4 || '.' || n % 200)::inet",
    "true": "true",
    "from": "FROM generate_series({first}::bigint, {last}::bigint) AS n",
}
SQLITE = {
    "at": "strftime('%Y-%m-%d %H:%M:%f', '{begin}', '+' || (n * {step}) || ' seconds')",
    "key": f"CAST({HASHED} / 4294967296.0 * {HASHED} / 4294967296.0 * {KEYS} AS INTEGER)",
    "model": f"(n * 40503 % 65536 * {MODELS} / 65536)",
    "address": "'10.0.' || n % 4 || '.' || n % 200",
    "true": "1",
    "from": "FROM (WITH RECURSIVE ns(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM ns WHERE n < {last}) "
    "SELECT n FROM ns)",
}


def statement(words: dict[str, str], **numbers: object) -> str:
    """One INSERT of many records."""
    values = ", ".join(VALUES)
    for name, word in words.items():
        values = values.replace("{" + name + "}", word)
    sql = f"INSERT INTO bridge_usagerecord ({', '.join(COLUMNS)}) SELECT {values} {words['from']}"
    return sql.format(**numbers)


def _people() -> None:
    """Keys, nodes with prices, and a month of loads and evictions."""
    from datetime import timedelta
    from decimal import Decimal

    from django.utils import timezone

    from bridge.models import ApiKey
    from scheduler.models import LedgerEntry, Node

    budgets = {"budget_tokens_month": 10**9, "budget_money_month": Decimal(100)}
    unused = {"digest": "", "pepper": "", "last_used_at": timezone.now()}
    ApiKey.objects.bulk_create(
        ApiKey(
            public_id=f"key{n}",
            account=f"key{n}",
            name=f"app {n}",
            team=f"team{n % TEAMS}",
            **budgets,
            **unused,
        )
        for n in range(KEYS)
    )
    for n in range(NODES):
        Node.objects.create(name=f"gpu{n}", url=f"http://gpu{n}:1", price_per_hour=Decimal("1.25"))
    now, moves = timezone.now(), []
    for n in range(20_000):
        place = {"node": f"gpu{n % NODES}", "model": f"model{n % MODELS}:latest"}
        at = now - timedelta(minutes=n * DAYS * 1440 / 20_000)
        moves.append(LedgerEntry(kind="load", cause="demand", at=at, seconds=4.0, outcome="ok", **place))
        moves.append(
            LedgerEntry(kind="evict", cause="demand", at=at - timedelta(minutes=20), outcome="ok", **place)
        )
    LedgerEntry.objects.bulk_create(moves, batch_size=500)


def _samples(begin: Any) -> None:
    """Samples of all hours into sums; those of the hours whose costs are worked out into their table, too."""
    from datetime import timedelta

    from django.utils import timezone

    from bridge.accounting import vram
    from scheduler.models import NodeSample

    hour, now, kept = begin, timezone.now(), []
    while hour < now:
        samples = [_sample(hour + timedelta(minutes=m), node) for node in range(NODES) for m in range(60)]
        vram.write(hour, samples)
        if now - hour < timedelta(hours=REAL_HOURS + 3):
            kept += samples
        hour += timedelta(hours=1)
    NodeSample.objects.bulk_create(kept, batch_size=500)


def _sample(at: Any, node: int) -> Any:
    from scheduler.models import NodeSample

    gib = 2**30
    held = {"bytes": 8 * gib, "spilled": 0, "predicted": 7 * gib, "kv": gib, "num_ctx": 8192, "slots": 4}
    residents = [
        {
            **held,
            "model": f"model{(node + n) % MODELS}:latest",
            "kv_type": "f16",
            "in_flight": 1,
            "pin": "",
            "team": "",
        }
        for n in range(4)
    ]
    room = {"total_bytes": 48 * gib, "used_bytes": 32 * gib, "reserved_bytes": 0, "free_bytes": 16 * gib}
    stranded = 16 * gib if at.minute < 6 else 0
    room |= {"spilled_bytes": 0, "stranded_bytes": stranded, "in_flight": 4, "waiting": 0}
    return NodeSample(
        node=f"gpu{node}", at=at, up=True, wanted="model9:latest", watts=250.0, residents=residents, **room
    )


def add_up() -> None:
    from bridge.accounting import sums

    while sums.roll():
        pass


def work_out() -> None:
    """The last whole hours, as a running bridge does it."""
    from datetime import timedelta

    from django.utils import timezone

    from bridge.accounting import costs

    now = timezone.now()
    for n in range(1, REAL_HOURS + 1):
        costs.work_out(costs.beginning(now) - timedelta(hours=n), now)


PARTS = (
    ("prefill", "SUM(prompt_eval_ms)", "outcome = 'answered'"),
    ("decode", "SUM(eval_ms)", "outcome = 'answered'"),
    ("wasted", "SUM(total_ms)", "outcome = 'cancelled'"),
)


def made_up_costs() -> None:
    """As many rows as the real ones would be, of all hours and days."""
    from django.db import connection

    by = "span, start, node, model, key, team"
    into = f"INSERT INTO bridge_costrollup ({by}, part, pin, gpu_us, micros, joules) "
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM bridge_costrollup")
        for part, ms, where in PARTS:
            cursor.execute(
                f"{into} SELECT {by}, '{part}', '', {ms} * 1000, {ms}, 0 "
                f"FROM bridge_usagerollup WHERE node <> '' AND {where} GROUP BY {by}"
            )
        cursor.execute(
            f"{into} SELECT span, start, node, model, '', '', 'idle_evictable', '', samples * 1000000, "
            "samples, 0 FROM bridge_vramrollup WHERE model <> ''"
        )
        cursor.execute("ANALYZE")


def counted() -> dict[str, int]:
    from bridge.models import CostRollup, RefusalRollup, UsageRollup, VramRollup

    tables = (UsageRollup, RefusalRollup, CostRollup, VramRollup)
    return {table.__name__: table._default_manager.count() for table in tables}


def timed_reports() -> Iterator[tuple[str, float]]:
    """Each report of the whole month, of its last day, and of one model."""
    from datetime import timedelta

    from django.utils import timezone

    from dashboard.reports.register import REPORTS as BUILT
    from dashboard.reports.report import Asked

    now = timezone.now()
    periods = {
        "a month": Asked(start=now - timedelta(days=DAYS), end=now),
        "a day": Asked(start=now - timedelta(days=1), end=now),
        "a model": Asked(start=now - timedelta(days=DAYS), end=now, model="model1:latest"),
    }
    for name in REPORTS:
        for period, asked in periods.items():

            def build(name: str = name, asked: Asked = asked) -> None:
                for table in BUILT[name].build(asked).tables:
                    for _ in table.rows:
                        pass

            yield f"{name}, {period}", statistics.median(took(build) for _ in range(3))


if __name__ == "__main__":
    raise SystemExit(main())

"""`manage.py report`: periods, forms, files that are there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from dashboard.reports import output, period
from dashboard.reports.register import REPORTS, Entry
from dashboard.reports.report import Asked, Column, Report, Row, Table, text
from dashboard.reports.whole import whole

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
ASKED = Asked(start=MIDNIGHT, end=NOW)
COLUMNS = (text("model"), Column(name="cost_usd", title="cost in $"))


def bill(asked: Asked) -> Report:
    rows: list[Row] = [("llama3.2:latest", Decimal("1.10")), ("qwen3:8b", None)]
    table = Table(
        name="bill", columns=COLUMNS, rows=rows, totals=lambda: {"cost_usd": Decimal("1.10"), "days": 1}
    )
    beside = Table(name="days", columns=(text("day"),), rows=[(asked.start,)])
    return Report(title="Bill", tables=(table, beside))


def broken(asked: Asked) -> Report:
    def rows() -> Iterator[Row]:
        yield ("llama3.2:latest", 1)
        raise RuntimeError("the database went away")

    return Report(title="Broken", tables=(Table(name="bill", columns=COLUMNS, rows=rows()),))


@pytest.fixture(autouse=True)
def _reports(monkeypatch: pytest.MonkeyPatch) -> None:
    for build in (bill, broken):
        monkeypatch.setitem(REPORTS, build.__name__, Entry(build=build, help="for a test"))


@pytest.mark.parametrize(
    ("words", "starts", "ends"),
    [
        ("yesterday", MIDNIGHT - timedelta(days=1), MIDNIGHT),
        ("today", MIDNIGHT, MIDNIGHT + timedelta(days=1)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-20T06:00", datetime(2026, 11, 20, 6, tzinfo=UTC), datetime(2026, 11, 20, 6, tzinfo=UTC)),
        ("2026-11-20T06:00+02:00", *[datetime(2026, 11, 20, 4, tzinfo=UTC)] * 2),
        ("24h", NOW - timedelta(days=1), NOW - timedelta(days=1)),
        ("now", NOW, NOW),
    ],
)
def test_a_period_is_written_as_people_write_it(words: str, starts: datetime, ends: datetime) -> None:
    assert (period.start(words, NOW), period.end(words, NOW)) == (starts, ends)


@pytest.mark.parametrize("words", ["soon", "2026-13-01", "2026-11-20T99:00", ""])
def test_what_is_no_time_is_refused_with_the_forms_there_are(words: str) -> None:
    with pytest.raises(CommandError, match="give yesterday") as error:
        call_command("report", "bill", start=words)
    assert error.value.returncode == 2


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(CommandError, match="before it begins") as error:
        call_command("report", "bill", "--from", "2026-11-20", "--to", "2026-11-18")
    assert error.value.returncode == 2


def test_in_a_pipe_the_first_table_is_csv(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("report", "bill")
    assert capsys.readouterr().out == "model,cost_usd\nllama3.2:latest,1.10\nqwen3:8b,\n"


def test_json_keeps_money_exact_and_names_the_filters() -> None:
    out = StringIO()
    output.write_json("bill", Asked(start=MIDNIGHT, end=NOW, team="search"), bill(ASKED), out)
    found = json.loads(out.getvalue())
    assert found["filters"] == {"team": "search"}
    assert found["tables"]["bill"]["rows"][0] == {"model": "llama3.2:latest", "cost_usd": "1.10"}
    assert found["tables"]["bill"]["totals"] == {"cost_usd": "1.10", "days": 1}
    assert found["tables"]["days"]["rows"] == [{"day": "2026-11-23T00:00:00+00:00"}]


def test_people_see_titles_totals_and_how_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MOST_DRAWN", 1)
    drawn = "".join(output.drawn(bill(ASKED), width=80))
    assert "cost in $" in drawn
    assert "days 1" in drawn
    assert "… and 1 rows more" in drawn
    assert "qwen3:8b" not in drawn


def test_the_other_tables_lie_beside_the_file(tmp_path: Path) -> None:
    call_command("report", "bill", "--from", "2026-11-20", output=tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().startswith("model,cost_usd\n")
    assert (tmp_path / "b.days.csv").read_text() == "day\n2026-11-20T00:00:00+00:00\n"
    call_command("report", "bill", output=tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["report"] == "bill"


def test_a_report_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "b.csv"
    target.write_text("of yesterday")
    with pytest.raises(RuntimeError):
        call_command("report", "broken", output=target)
    assert target.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file") as error:
        call_command("report", "bill", output=tmp_path / "nowhere" / "b.csv")
    assert error.value.returncode == 2


def test_a_file_has_the_rights_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with whole(tmp_path / "w") as (file,):
        file.write("x")
    assert (tmp_path / "w").stat().st_mode == (tmp_path / "plain").stat().st_mode

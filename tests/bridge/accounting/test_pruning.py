"""What is too old goes, and nothing that still counts."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import Sum
from pytest_django import Settings

from bridge.accounting import costs, pruning, sums
from bridge.models import ApiKey, CostRollup, UsageRecord, UsageRollup
from bridge.models.audit import Actor, Source
from bridge.models.rollups import DAY, HOUR
from bridge.usage.budgets import _tokens
from scheduler.board.interface import Budget
from scheduler.models import LedgerEntry, NodeSample
from tests.bridge.accounting.cast import at, insert, load, row, sample, sampled_hour

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _days(settings: Settings) -> None:
    settings.KEEP_USAGE_DAYS, settings.KEEP_SAMPLES_DAYS, settings.KEEP_LEDGER_DAYS = 10, 5, 20


def test_records_go_by_whole_days_and_the_sums_of_days_stay() -> None:
    insert(row(at(1)), row(at(23, 59)), row(at(24)))
    sums.roll()
    done = pruning.prune(at(24 * 11 + 5))
    assert (done["usage records"], done["hourly sums"]) == (2, 2)
    assert UsageRecord.objects.get().at == at(24)
    assert UsageRollup.objects.filter(span=HOUR).count() == 1
    assert UsageRollup.objects.filter(span=DAY).aggregate(n=Sum("requests"))["n"] == 3


def test_a_record_that_is_not_in_the_sums_stays() -> None:
    insert(row(at(1)))
    assert pruning.prune(at(24 * 100))["usage records"] == 0
    sums.roll()
    assert pruning.prune(at(24 * 100))["usage records"] == 1


def test_samples_and_ledger_entries_have_ages_of_their_own() -> None:
    sample(at(1))
    load(at(1), 5.0)
    assert pruning.prune(at(24 * 6))["VRAM samples"] == 1
    assert (NodeSample.objects.count(), LedgerEntry.objects.count()) == (0, 1)
    assert pruning.prune(at(24 * 21))["ledger entries"] == 1


def test_zero_days_keep_everything(settings: Settings) -> None:
    settings.KEEP_LEDGER_DAYS = 0
    load(at(1), 5.0)
    assert "ledger entries" not in pruning.prune(at(24 * 10_000))


def test_costs_of_a_day_are_the_same_after_its_hours_are_gone() -> None:
    sampled_hour(1)
    insert(row(at(1, 5)))
    sums.roll()
    costs.work_out(at(1), at(2, 30)) if costs.due(at(2, 30)) else None
    before = CostRollup.objects.filter(span=DAY).aggregate(us=Sum("gpu_us"))
    pruning.prune(at(24 * 12))
    assert not CostRollup.objects.filter(span=HOUR).exists()
    insert(row(at(1, 7)))  # very late
    sums.roll()
    assert at(1) not in costs.due(at(24 * 12))
    assert CostRollup.objects.filter(span=DAY).aggregate(us=Sum("gpu_us")) == before


def test_a_budget_in_tokens_remembers_what_was_pruned() -> None:
    key = ApiKey.objects.issue(actor=Actor(name="ann", source=Source.COMMAND), name="one")[0]
    budget = Budget(period="total", tokens=10_000, start=0.0, end=1e12)
    insert(row(at(1), key=key.public_id))
    assert _tokens(key.account, budget) == 150
    sums.roll()
    assert _tokens(key.account, budget) == 150
    pruning.prune(at(24 * 100))
    insert(row(at(24 * 100), key=key.public_id))
    assert _tokens(key.account, budget) == 300


def test_the_command_counts_first_and_then_deletes() -> None:
    insert(row(at(1)))

    def run(*flags: str) -> dict[str, int]:
        out = StringIO()
        call_command("prune", "--json", *flags, stdout=out)
        done: dict[str, int] = json.loads(out.getvalue())
        return done

    LedgerEntry.objects.create(kind="load", at="2020-01-01T00:00:00Z")
    assert run("--dry-run")["ledger entries"] == 1
    assert LedgerEntry.objects.count() == 1
    assert run()["ledger entries"] == 1
    assert LedgerEntry.objects.count() == 0
    out = StringIO()
    call_command("prune", stdout=out)
    assert "ledger entries\t20\t0" in out.getvalue()

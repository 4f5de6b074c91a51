"""Budgets in money: which are spent, and what a client of such a key is told."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bridge.accounting import money
from bridge.errors import Refused
from bridge.grants import Grant
from bridge.keyring import grant_of
from bridge.models import ApiKey, CostRollup, Team
from bridge.models.audit import Actor, Source
from bridge.models.rollups import DAY
from bridge.purse import Purse

pytestmark = pytest.mark.django_db
ANN = Actor(name="ann", source=Source.COMMAND)


def key(name: str, **fields: Any) -> ApiKey:
    issued: ApiKey = ApiKey.objects.issue(actor=ANN, name=name, **fields)[0]
    return issued


def spend(amount: str, *, key: str = "", team: str = "", days_ago: int = 0) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    CostRollup.objects.create(
        span=DAY,
        start=midnight - timedelta(days=days_ago),
        node="gpu1",
        part="decode",
        key=key,
        team=team,
        gpu_us=0,
        micros=int(Decimal(amount) * 10**6),
    )


def told(purse: Purse, grant: Grant) -> str:
    """The refusal's sentence; empty where there is none."""
    try:
        purse.check(grant, time.time())
    except Refused as error:
        refused = error
    else:
        return ""
    assert (refused.status, refused.kind, refused.should_retry) == (402, "budget_money", False)
    return str(refused)


def test_a_key_that_spent_its_day_is_refused_until_the_next_one() -> None:
    thrifty, other = key("thrifty", budget_money_day="1.50"), key("other", budget_money_day="1.50")
    spend("1.00", key=thrifty.public_id)
    spend("9.00", key=thrifty.public_id, days_ago=1)
    assert told(money.load(), grant_of(thrifty)) == ""
    spend("0.50", key=thrifty.public_id, team="any")
    purse = money.load()
    assert "This key has spent 1.50 of 1.50 USD per day. The next day begins on" in told(
        purse, grant_of(thrifty)
    )
    assert told(purse, grant_of(other)) == ""
    until = purse.accounts[thrifty.account].until
    purse.check(grant_of(thrifty), until)  # at midnight it goes on, before anything was read anew


def test_a_rotated_key_goes_on_spending_the_same_money() -> None:
    old = key("app", budget_money_total="2.00")
    spend("2.00", key=old.public_id, days_ago=400)
    heir, _ = old.rotate(ANN, timedelta(hours=1))
    purse = money.load()
    assert "2.00 of 2.00 USD in all" in told(purse, grant_of(old))
    assert "2.00 of 2.00 USD in all" in told(purse, grant_of(heir))


def test_a_team_that_spent_its_money_refuses_all_its_keys() -> None:
    Team.objects.create(name="red", budget_money_month="10.00")
    one, two, blue = key("one", team="red"), key("two", team="red"), key("three", team="blue")
    spend("6.00", key=one.public_id, team="red")
    spend("4.00", team="red")  # its pins
    purse = money.load()
    for each in (one, two):
        assert "The team red has spent 10.00 of 10.00 USD per month." in told(purse, grant_of(each))
    assert told(purse, grant_of(blue)) == ""


def test_a_budget_of_nothing_is_spent_from_the_beginning() -> None:
    none = key("none", budget_money_total="0")
    assert "has spent 0.00 of 0.00 USD in all" in told(money.load(), grant_of(none))


def test_the_snapshot_is_read_anew_when_costs_keys_or_teams_change() -> None:
    before = money.revision()
    Team.objects.create(name="red")
    after = money.revision()
    assert after > before
    key("one")
    assert money.revision() > after


def test_nobody_is_refused_for_an_empty_team_name() -> None:
    grant = replace(grant_of(key("one")), team="")
    assert told(Purse(), grant) == ""

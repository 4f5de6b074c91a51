"""Which budgets in money are spent, from the same rows as the cost report."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import Q, Sum

from bridge.accounting.costs import COSTS
from bridge.models import KEYS, ApiKey, CostRollup, Team
from bridge.models.rollups import DAY
from bridge.periods import Period, running
from bridge.purse import Purse, Spent
from bridge.snapshots import Keeper
from scheduler.models import Revision
from scheduler.policy.cost import MICROS

POLL_S = 1.0
PERIODS: tuple[Period, ...] = ("day", "month", "total")
A_DAY_S = 86_400
Whose = Callable[[str], str]


def keeper() -> Keeper[Purse]:
    return Keeper("budgets in money", load=load, revision=revision, interval_s=POLL_S)


def revision() -> int:
    """Moves with the costs, with keys and teams, and at midnight (UTC)."""
    moved = Revision.objects.filter(topic__in=(COSTS, KEYS)).aggregate(sum=Sum("number"))["sum"] or 0
    return int(moved) + int(time.time() // A_DAY_S)


def load() -> Purse:
    """The budgets that are spent now."""
    now = time.time()
    budgeted = Q(budget_money_day__isnull=False) | Q(budget_money_month__isnull=False)
    budgeted |= Q(budget_money_total__isnull=False)
    keys = list(ApiKey.objects.filter(budgeted, revoked_at=None).order_by("pk"))
    teams = list(Team.objects.filter(budgeted))
    accounts = {key.account: key for key in keys}
    over: dict[str, Spent] = {}
    for period in PERIODS:
        budgets = _budgets(accounts, period)
        spent = _of_accounts(budgets, period, now)
        over |= _over(budgets, spent, period, now, lambda _: "This key")
    over_teams: dict[str, Spent] = {}
    for period in PERIODS:
        budgets = _budgets({team.name: team for team in teams}, period)
        over_teams |= _over(budgets, _of("team", budgets, period, now), period, now, "The team {}".format)
    return Purse(accounts=over, teams=over_teams)


def _budgets(rows: Mapping[str, ApiKey | Team], period: Period) -> dict[str, Decimal]:
    named = {name: getattr(row, f"budget_money_{period}") for name, row in rows.items()}
    return {name: budget for name, budget in named.items() if budget is not None}


def _of_accounts(accounts: Collection[str], period: Period, now: float) -> dict[str, int]:
    """Millionths by account: a rotated key goes on spending the money of the one it replaced."""
    chain = dict(ApiKey.objects.filter(account__in=accounts).values_list("public_id", "account"))
    spent: dict[str, int] = defaultdict(int)
    for key, micros in _of("key", chain, period, now).items():
        spent[chain[key]] += micros
    return spent


def _of(column: str, names: Iterable[str], period: Period, now: float) -> dict[str, int]:
    start = datetime.fromtimestamp(running(period, now)[0], UTC)
    rows = CostRollup.objects.filter(**{f"{column}__in": list(names)}, span=DAY, start__gte=start)
    return dict(rows.order_by().values_list(column).annotate(sum=Sum("micros")))


def _over(
    budgets: Mapping[str, Decimal], spent: Mapping[str, int], period: Period, now: float, whose: Whose
) -> dict[str, Spent]:
    found = {}
    for name, budget in budgets.items():
        money = Decimal(spent.get(name, 0)) / MICROS
        if money >= budget:
            end = running(period, now)[1]
            found[name] = Spent(whose=whose(name), period=period, budget=budget, spent=money, until=end)
    return found

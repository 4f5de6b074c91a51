"""How full the budgets of keys are, now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import F, Sum

from bridge.models import ApiKey, CostRollup, UsageRollup
from bridge.models.rollups import DAY
from dashboard.reports.spans import midnight
from scheduler.policy.cost import MICROS

PERIODS = ("day", "month", "total")
WORDS = {"day": "a day", "month": "a month", "total": "in all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One budget of a key."""

    share: Decimal  # 1: all of it
    told: str


def filled(keys: Iterable[ApiKey], now: datetime) -> dict[str, list[Filled]]:
    """By public id. A key's account counts: what the keys before it used, too."""
    found: dict[str, list[Filled]] = defaultdict(list)
    keys = list(keys)
    for period in PERIODS:
        for kind, tell in (("tokens", _tokens), ("money", _money)):
            field = f"budget_{kind}_{period}"
            budgeted = [key for key in keys if getattr(key, field) is not None]
            used = _used(budgeted, kind, _start(period, now)) if budgeted else {}
            for key in budgeted:
                found[key.public_id].append(
                    tell(used.get(key.account, 0), getattr(key, field), WORDS[period])
                )
    return found


def _used(keys: Iterable[ApiKey], kind: str, start: datetime) -> Mapping[str, int]:
    """Tokens, or millionths of money, by account."""
    accounts = {key.account for key in keys}
    chain = dict(ApiKey.objects.filter(account__in=accounts).values_list("public_id", "account"))
    tables: dict[str, Any] = {
        "tokens": UsageRollup.objects.annotate(used=F("prompt_tokens") + F("output_tokens")),
        "money": CostRollup.objects.annotate(used=F("micros")),
    }
    rows = tables[kind].filter(span=DAY, start__gte=start, key__in=list(chain)).order_by()
    used: dict[str, int] = defaultdict(int)
    for key, sum_ in rows.values_list("key").annotate(sum=Sum("used")):
        used[chain[key]] += sum_
    return used


def _start(period: str, now: datetime) -> datetime:
    if period == "total":
        return datetime(1970, 1, 1, tzinfo=UTC)
    return midnight(now) if period == "day" else midnight(now).replace(day=1)


def _tokens(used: int, budget: int, period: str) -> Filled:
    return Filled(
        share=_share(Decimal(used), Decimal(budget)), told=f"{used:,} of {budget:,} tokens {period}"
    )


def _money(used: int, budget: Decimal, period: str) -> Filled:
    spent = Decimal(used) / MICROS
    told = f"{spent:,.2f} of {budget:,.2f} {settings.CURRENCY} {period}"
    return Filled(share=_share(spent, budget), told=told)


def _share(used: Decimal, budget: Decimal) -> Decimal:
    return used / budget if budget else Decimal(1)

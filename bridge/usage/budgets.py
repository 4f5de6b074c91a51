"""What each account has used of its budgets in the periods now running, counted from the records."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, QuerySet, Sum

from bridge.accounting.sums import USAGE
from bridge.grants import Grant
from bridge.models import ApiKey, Mark, UsageRecord, UsageRollup
from bridge.models.rollups import DAY
from scheduler.board.interface import Budget


def spent_so_far(grants: list[Grant], now: float | None = None) -> list[tuple[str, Budget, int]]:
    """(account, budget, tokens) for every grant that has budgets. Runs in a thread: it queries."""
    now = time.time() if now is None else now
    return [
        (grant.account, budget, _tokens(grant.account, budget))
        for grant in grants
        for budget in grant.limits(now).budgets
    ]


def _tokens(account: str, budget: Budget) -> int:
    """A rotated key goes on spending the budget of the one it replaced: they are one account.

    From the sums of days, since old records are pruned, and from the records that are not in them yet."""
    ids = list(ApiKey.objects.filter(account=account).values_list("public_id", flat=True))
    start = datetime.fromtimestamp(budget.start, UTC)
    while True:
        position = _position()
        summed = UsageRollup.objects.filter(span=DAY, start__gte=start, key__in=ids)
        newer = UsageRecord.objects.filter(id__gt=position, at__gte=start, key__in=ids)
        tokens = _total(summed) + _total(newer)
        if _position() == position:  # else records moved into the sums while both were read
            return tokens


def _position() -> int:
    return Mark.objects.filter(name=USAGE).values_list("position", flat=True).first() or 0


def _total(rows: QuerySet[Any]) -> int:
    return rows.aggregate(total=Sum(F("prompt_tokens") + F("output_tokens")))["total"] or 0

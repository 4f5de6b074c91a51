"""What each account has used of its budgets in the periods now running, counted from the records."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db.models import F, Sum

from bridge.grants import Grant
from bridge.models import ApiKey, UsageRecord
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
    """A rotated key goes on spending the budget of the one it replaced: they are one account."""
    ids = ApiKey.objects.filter(account=account).values_list("public_id", flat=True)
    start = datetime.fromtimestamp(budget.start, UTC)
    records = UsageRecord.objects.filter(key__in=list(ids), at__gte=start)
    return records.aggregate(total=Sum(F("prompt_tokens") + F("output_tokens")))["total"] or 0

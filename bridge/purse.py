"""Which budgets in money are spent: what a request asks before it is admitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from bridge.env import VALUES as ENV
from bridge.errors import Refused

if TYPE_CHECKING:
    from bridge.grants import Grant
    from bridge.periods import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A budget of which nothing is left."""

    whose: str  # "This key" or "The team NAME"
    period: Period
    budget: Decimal
    spent: Decimal
    until: float  # Unix seconds at which its period ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The budgets that are spent; one that is not here has something left."""

    accounts: Mapping[str, Spent] = field(default_factory=dict)
    teams: Mapping[str, Spent] = field(default_factory=dict)

    def check(self, grant: Grant, now: float) -> None:
        """Raises Refused (402) when the key, or its team, has spent its money. `now`: Unix seconds."""
        for spent in (self.accounts.get(grant.account), self.teams.get(grant.team)):
            if spent is not None and now < spent.until:
                raise refused(spent)


EMPTY = Purse()


def refused(spent: Spent) -> Refused:
    """402: no official client tries that again by itself."""
    period = "in all" if spent.period == "total" else f"per {spent.period}"
    again = ""
    if spent.period != "total":
        again = (
            f" The next {spent.period} begins on {datetime.fromtimestamp(spent.until, UTC):%Y-%m-%d} (UTC)."
        )
    return Refused(
        f"{spent.whose} has spent {spent.spent:.2f} of {spent.budget:.2f} {ENV['BRIDGE_CURRENCY']} {period}."
        f"{again} Ask whoever gave you the key for a larger budget.",
        status=402,
        kind="budget_money",
        should_retry=False,
    )

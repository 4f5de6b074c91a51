"""What each key has used: the limits of one process, in memory.

1. rate, 2. tokens, 3. parallel, 4. budget: the first that is exceeded refuses, and nothing is charged.
Tokens are reserved when a ticket is admitted and replaced by the real ones when it is settled.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.board.interface import Allowance, Budget, Limits, Ticket
from scheduler.board.refusals import Over
from scheduler.board.windows import TOLERANCE, Window

SETTLED_AFTER_S = 86_400.0  # a period that is over is kept so long for what is settled late


class Spending:
    """Tokens of one budget in one period: used, and reserved by tickets that have not ended."""

    __slots__ = ("end", "reserved", "used")

    def __init__(self, end: float) -> None:
        self.end = end
        self.used = 0
        self.reserved = 0


@dataclass(slots=True)
class Charge:
    """What a ticket reserved; it is given back or made real exactly once."""

    account: Account
    tokens: int
    minute: int
    spendings: list[Spending]

    def settle(self, tokens: int) -> None:
        """Replace the reservation by the real tokens."""
        self.account.parallel -= 1
        if tokens != self.tokens:
            self.account.tokens.correct(self.minute, tokens - self.tokens)
        for spending in self.spendings:
            spending.reserved -= self.tokens
            spending.used += tokens


class Account:
    """One key."""

    __slots__ = ("parallel", "requests", "spendings", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.parallel = 0
        self.spendings: dict[tuple[str, float], Spending] = {}

    def over(self, ticket: Ticket, now: float) -> Over | None:
        """The first limit that the ticket would exceed."""
        limits = ticket.limits
        self.requests.roll(now)
        self.tokens.roll(now)
        rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
        if rpm is not None and self.requests.used(now) + 1 > rpm + TOLERANCE:  # 1
            return Over("rate", rpm, 1, self.requests.fits_in_s(now, 1, rpm))
        if tpm is not None and self.tokens.used(now) + ticket.tokens > tpm + TOLERANCE:  # 2
            return Over("tokens", tpm, ticket.tokens, self.tokens.fits_in_s(now, ticket.tokens, tpm))
        if limits.parallel is not None and self.parallel >= limits.parallel:  # 3
            return Over("parallel", limits.parallel, self.parallel, 1.0)
        for budget in limits.budgets:  # 4
            spending = self.spending(budget)
            if spending.used + spending.reserved + ticket.tokens > budget.tokens:
                return over_budget(budget, spending.used, spending.reserved, ticket.tokens, now)
        return None

    def charge(self, ticket: Ticket) -> Charge:
        """Reserve what `over` has just found to be free."""
        self.requests.charge(1)
        self.tokens.charge(ticket.tokens)
        self.parallel += 1
        spendings = [self.spending(budget) for budget in ticket.limits.budgets]
        for spending in spendings:
            spending.reserved += ticket.tokens
        return Charge(self, ticket.tokens, self.tokens.minute, spendings)

    def spending(self, budget: Budget) -> Spending:
        """The figures of the budget's period now running."""
        name = (budget.period, budget.start)
        found = self.spendings.get(name)
        if found is None:
            found = self.spendings[name] = Spending(budget.end)
        return found

    def allowance(self, limits: Limits, now: float) -> Allowance:
        """What is left, for the x-ratelimit-* headers; `over` comes first."""
        rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
        return Allowance(
            requests_limit=rpm,
            requests_remaining=None if rpm is None else remaining(rpm, self.requests.used(now)),
            requests_reset_s=None if rpm is None else self.requests.reset_s(now),
            tokens_limit=tpm,
            tokens_remaining=None if tpm is None else remaining(tpm, self.tokens.used(now)),
            tokens_reset_s=None if tpm is None else self.tokens.reset_s(now),
        )

    def forget(self, now: float) -> bool:
        """Drop periods that are long over; whether nothing of the account is left."""
        self.spendings = {
            name: spending
            for name, spending in self.spendings.items()
            if spending.reserved or now < spending.end + SETTLED_AFTER_S
        }
        silent = self.requests.empty(now) and self.tokens.empty(now)
        return silent and not self.parallel and not any(s.used for s in self.spendings.values())


def remaining(limit: int, used: float) -> int:
    """Whole units left."""
    return max(0, int(limit - used + TOLERANCE))


def over_budget(budget: Budget, used: int, reserved: int, tokens: int, now: float) -> Over:
    """Waiting helps when others only reserved the tokens, or when the period ends within a minute."""
    wait: float | None = None
    if used + tokens <= budget.tokens:
        wait = 1.0
    elif 0.0 < budget.end - now <= 60.0 and tokens <= budget.tokens:
        wait = budget.end - now
    return Over("budget", budget.tokens, tokens, wait, period=budget.period, used=used, reserved=reserved)

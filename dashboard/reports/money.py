"""Money for people: cents that add up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.conf import settings

from scheduler.policy.cost import MICROS, apportion, cents, rounded

CENT = Decimal("0.01")


def amounts(micros: Sequence[int], total: Decimal | None = None) -> list[Decimal]:
    """Amounts to the cent that add up to `total`; without it, to the cents of their sum."""
    if total is None or not sum(micros):
        return [Decimal(each) * CENT for each in cents(micros)]
    return [Decimal(each) * CENT for each in apportion(int(total / CENT), micros)]


def amount(micros: int) -> Decimal:
    """One amount to the cent."""
    return Decimal(rounded(Decimal(micros) / (MICROS // 100))) * CENT


def per_million(micros: int, tokens: int) -> Decimal | None:
    """Money for a million tokens; None without tokens."""
    return (Decimal(micros) / tokens).quantize(Decimal("0.0001")) if tokens else None


def told(value: Decimal) -> str:
    return f"{value:,.2f} {settings.CURRENCY}"

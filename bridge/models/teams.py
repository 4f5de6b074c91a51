from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models

from bridge.models.keys import KEYS
from scheduler.models import Revised, RevisedQuerySet


class TeamQuerySet(RevisedQuerySet["Team"]):
    pass


def _budget(label: str) -> models.DecimalField[Decimal | None, Decimal | None]:
    at_least_nothing = [MinValueValidator(Decimal(0))]
    return models.DecimalField(
        label, max_digits=14, decimal_places=2, null=True, blank=True, validators=at_least_nothing
    )


class Team(Revised):
    """A budget that several keys share: those whose team has this name, and the pins that it pays for."""

    topic = KEYS

    name = models.CharField(max_length=100, unique=True, help_text="As keys and pinning policies name it.")
    note = models.TextField(blank=True)
    budget_money_day = _budget("money a day (UTC)")
    budget_money_month = _budget("money a month (UTC)")
    budget_money_total = _budget("money in all")

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

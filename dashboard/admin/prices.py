"""Teams with their budgets, the history of what nodes cost, and the table of hosted prices."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django import forms
from django.contrib import admin
from django.db.models import Sum
from django.utils import timezone

from bridge.models import ApiKey, CostRollup, Team
from bridge.models.rollups import DAY
from dashboard.admin.audited import AuditedAdmin
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.cells import NONE
from dashboard.generic import AnyModelForm
from dashboard.reports import money
from dashboard.reports.spans import midnight
from scheduler.models import HostedPrice, NodePrice


class TeamForm(AnyModelForm):
    class Meta:
        model = Team
        fields = "__all__"
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}


@admin.register(Team)
class TeamAdmin(AuditedAdmin):
    """A team is what keys and pinning policies name; a row here gives it a budget."""

    audit_kind = "team"
    form = TeamForm
    list_display = (
        "name",
        "keys",
        "spent_today",
        "spent_this_month",
        "budget_money_day",
        "budget_money_month",
    )
    search_fields = ("name", "note")
    fieldsets = (
        (None, {"fields": ["name", "note"]}),
        (
            "Budget",
            {
                "fields": [("budget_money_day", "budget_money_month", "budget_money_total")],
                "description": "What its keys cause and its pins hold idle. Once spent, its keys get a 402.",
            },
        ),
    )

    def audit_target(self, row: Team) -> str:
        return row.name

    @admin.display(description="keys")
    def keys(self, team: Team) -> int:
        return int(ApiKey.objects.filter(team=team.name, revoked_at=None).count())

    @admin.display(description="spent today")
    def spent_today(self, team: Team) -> str:
        return spent(team.name, 0)

    @admin.display(description="spent this month")
    def spent_this_month(self, team: Team) -> str:
        return spent(team.name, timezone.now().day - 1)


def spent(team: str, days: int) -> str:
    """Since midnight (UTC) so many days ago."""
    since = midnight(timezone.now()) - timedelta(days=days)
    rows = CostRollup.objects.filter(span=DAY, team=team, start__gte=since)
    return money.told(money.amount(rows.aggregate(sum=Sum("micros"))["sum"] or 0))


class HostedPriceForm(AnyModelForm):
    source = forms.URLField(required=False, assume_scheme="https", help_text="The page that says so.")

    class Meta:
        model = HostedPrice
        fields = "__all__"


@admin.register(HostedPrice)
class HostedPriceAdmin(AuditedAdmin):
    """What the cost report compares with."""

    audit_kind = "hosted price"
    form = HostedPriceForm
    list_display = ("name", "stands_for", "input_price", "cached", "output_price", "as_of")
    search_fields = ("name", "stands_for")
    fieldsets = (
        (None, {"fields": ["name", "stands_for"]}),
        ("Prices for a million tokens", {"fields": [("input_price", "cached_price", "output_price")]}),
        ("Where from", {"fields": [("as_of", "source")]}),
    )

    def audit_target(self, row: HostedPrice) -> str:
        return row.name

    @admin.display(description="cached input")
    def cached(self, price: HostedPrice) -> Decimal | str:
        return NONE if price.cached_price is None else price.cached_price


@admin.register(NodePrice)
class NodePriceAdmin(ReadOnlyAdmin):
    """Written when a node's price is changed on its page."""

    list_display = ("node", "per_hour", "per_kwh", "since")
    list_filter = ("node",)

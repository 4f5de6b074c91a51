"""Filters whose choices come from the newest records: a DISTINCT over all of them would read every row."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from bridge.models import Outcome, UsageRecord

NEWEST = 5000  # records that the choices are taken from
MOST = 40  # choices shown


class RecentFilter(admin.SimpleListFilter):
    """Equality with one of the column's values among the newest records, or with the one asked for."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = UsageRecord.objects.order_by("-id").values_list(self.column, flat=True)[:NEWEST]
        values = {value for value in newest if value} | {request.GET.get(self.column, "")} - {""}
        return [(value, value) for value in sorted(values)[:MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ModelFilter(RecentFilter):
    title = column = parameter_name = "model"


class NodeFilter(RecentFilter):
    title = column = parameter_name = "node"


class ReasonFilter(RecentFilter):
    title = column = parameter_name = "reason"

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        # No answered request has a reason: saying so lets the index on outcomes find the few that have.
        found = super().queryset(request, queryset)
        return found.exclude(outcome=Outcome.ANSWERED) if self.value() else found

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from bridge.models import ApiKey, State
from bridge.models.keys import ApiKeyQuerySet
from dashboard.soon import SOON


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*State.choices, ("soon", "expires within 14 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        keys, now, value = cast("ApiKeyQuerySet", queryset), timezone.now(), self.value()
        if value == "soon":
            return keys.expiring(now, SOON)
        return keys.in_state(value, now) if value in State.values else keys


class UseFilter(admin.SimpleListFilter):
    title = "use"
    parameter_name = "use"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("day", "in the last day"),
            ("month", "in the last 30 days"),
            ("idle", "not for 30 days"),
            ("never", "never"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        month_ago = timezone.now() - timedelta(days=30)
        conditions = {
            "day": Q(last_used_at__gte=timezone.now() - timedelta(days=1)),
            "month": Q(last_used_at__gte=month_ago),
            "idle": Q(last_used_at__lt=month_ago) | Q(last_used_at=None, created_at__lt=month_ago),
            "never": Q(last_used_at=None),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)

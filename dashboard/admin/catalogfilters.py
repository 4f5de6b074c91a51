from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from scheduler.models import CatalogModel, ModelOnNode, Node

CAPABILITIES = ("completion", "tools", "vision", "thinking", "insert", "embedding", "image", "audio")


class CapabilityFilter(admin.SimpleListFilter):
    title = "capability"
    parameter_name = "capability"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in CAPABILITIES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> QuerySet[CatalogModel]:
        """Among the text of the list: SQLite cannot look into JSON arrays."""
        return queryset.filter(capabilities__icontains=f'"{self.value()}"') if self.value() else queryset


class HolderFilter(admin.SimpleListFilter):
    title = "node"
    parameter_name = "node"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in Node.objects.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> QuerySet[CatalogModel]:
        if not self.value():
            return queryset
        return queryset.filter(pk__in=ModelOnNode.objects.filter(node__name=self.value()).values("model"))


class HoldingFilter(admin.SimpleListFilter):
    title = "copies"
    parameter_name = "copies"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("drift", "nodes differ"), ("none", "held nowhere")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> QuerySet[CatalogModel]:
        if self.value() == "drift":
            return queryset.filter(pk__in=drifting())
        return queryset.filter(copies=None) if self.value() == "none" else queryset


def drifting() -> QuerySet[Any]:
    """Ids of models that enabled nodes hold with different digests."""
    digests = Count("copies__digest", distinct=True, filter=Q(copies__node__enabled=True))
    return CatalogModel.objects.annotate(digests=digests).filter(digests__gt=1).values("pk")

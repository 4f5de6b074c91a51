"""An admin whose writes all enter the audit log, with the values before and after."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest

from bridge.models import Actor, AuditEvent
from bridge.models.audit import changed, facts
from dashboard.admin.titled import TitledAdmin
from dashboard.generic import AnyModelForm


class AuditedAdmin(TitledAdmin):
    """A ModelAdmin that tells the audit log what it adds, changes and deletes."""

    audit_kind = ""  # what the audit log calls the target: "node"; empty: the model's name
    audit_without: Collection[str] = ()  # columns that are secret, or that no person writes

    def audit_target(self, row: Any) -> str:
        """The target's id in the audit log; a name that outlives the row where there is one."""
        return str(row.pk)

    def save_model(self, request: HttpRequest, obj: Any, form: AnyModelForm, change: bool) -> None:
        stored = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        form._facts_before = self._facts(stored) if stored else {}  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before, after = form._facts_before, self._facts(form.instance)
        if change:
            before, after = changed(before, after)
        if after:
            self._record(request, "change" if change else "add", form.instance, before, after)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record(request, "delete", obj, self._facts(obj), {})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self._record(request, "delete", row, self._facts(row), {})
        super().delete_queryset(request, queryset)

    def _facts(self, row: models.Model) -> dict[str, Any]:
        links = {
            field.name: sorted(str(linked) for linked in getattr(row, field.name).all())
            for field in row._meta.many_to_many
            if field.name not in self.audit_without
        }
        return facts(row, self.audit_without) | links

    def _record(
        self, request: HttpRequest, what: str, row: Any, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        kind = self.audit_kind or str(self.opts.model_name)
        AuditEvent.objects.record(
            Actor.at_admin(request),
            f"{kind}.{what}",
            kind=kind,
            target=self.audit_target(row)[:64],
            name=str(row),
            before=before,
            after=after,
        )

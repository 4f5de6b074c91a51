from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString

from dashboard.admin.audited import AuditedAdmin
from dashboard.cells import badge
from dashboard.generic import AnyModelForm
from scheduler.models import Alias, CatalogModel
from scheduler.models.alias import follow


class AliasForm(AnyModelForm):
    class Meta:
        model = Alias
        fields = ("name", "model", "note")
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "model" in self.fields:  # it is not for who may only look
            models = CatalogModel.objects.values_list("name", flat=True)
            aliases = Alias.objects.exclude(pk=self.instance.pk).values_list("name", flat=True)
            groups = [("Models", list(models)), ("Aliases", list(aliases)), ("Now", [self.instance.model])]
            choices = [(group, [(name, name) for name in names if name]) for group, names in groups]
            self.fields["model"].widget = forms.Select(choices=_once(choices))


def _once(groups: list[tuple[str, list[tuple[str, str]]]]) -> list[Any]:
    """Each name in its first group only, and no group without names."""
    seen: set[str] = set()
    kept: list[Any] = [("", "Choose a model")]
    for group, choices in groups:
        fresh = [choice for choice in choices if choice[0] not in seen]
        seen |= {name for name, _ in fresh}
        if fresh:
            kept.append((group, fresh))
    return kept


@admin.register(Alias)
class AliasAdmin(AuditedAdmin):
    audit_kind = "alias"
    form = AliasForm
    list_display = ("name", "shown_state", "model", "note")
    search_fields = ("name", "model", "note")

    def audit_target(self, row: Alias) -> str:
        return row.name

    @admin.display(description="state")
    def shown_state(self, alias: Alias) -> SafeString:
        held = set(CatalogModel.objects.enabled().filter(copies__isnull=False).values_list("name", flat=True))
        if alias.name in held:
            return badge("warn", "hidden", "A node holds a model of this name, which wins.")
        in_force = {name: model for name, model in Alias.objects.mapping().items() if name not in held}
        if follow(alias.name, in_force) not in held:
            return badge("bad", "leads nowhere", "Its model is disabled, or no node holds it.")
        return badge("good", "in force")

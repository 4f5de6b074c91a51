from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.safestring import SafeString

from dashboard.admin.audited import AuditedAdmin
from dashboard.cells import badge
from dashboard.generic import AnyModelForm
from scheduler.models import CatalogModel, PinningPolicy
from scheduler.models.windows import BadWindow, as_lines, from_lines


class WindowsField(forms.CharField):
    """Weekly windows, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 40, "placeholder": "mon-fri 08:00-18:00"})

    def to_python(self, value: Any) -> Any:
        try:
            return from_lines(super().to_python(value) or "")
        except BadWindow as error:
            raise ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        return as_lines(value) if isinstance(value, list) else value

    def validate(self, value: Any) -> None:
        """No window is an answer: always."""

    def run_validators(self, value: Any) -> None:
        """Those of text do not fit lists."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True


class PinningPolicyForm(AnyModelForm):
    windows = WindowsField(
        required=False,
        help_text="One a line: mon-fri 08:00-18:00, or sat,sun 22:00-06:00 over midnight. Empty: always.",
    )
    time_zone = forms.ChoiceField(choices=lambda: [(zone, zone) for zone in sorted(available_timezones())])

    class Meta:
        model = PinningPolicy
        fields = "__all__"
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}


@admin.register(PinningPolicy)
class PinningPolicyAdmin(AuditedAdmin):
    audit_kind = "pin"
    form = PinningPolicyForm
    list_display = ("name", "shown_state", "model", "means", "nodes", "min_replicas", "when", "priority")
    list_filter = ("enabled",)
    search_fields = ("name", "model", "nodes", "note")
    fieldsets = (
        (
            None,
            {
                "fields": [
                    ("name", "enabled"),
                    ("model", "nodes"),
                    ("min_replicas", "priority"),
                    "team",
                    "note",
                ]
            },
        ),
        ("When", {"fields": ["windows", "time_zone"]}),
    )

    def audit_target(self, row: PinningPolicy) -> str:
        return row.name

    @admin.display(description="state")
    def shown_state(self, policy: PinningPolicy) -> SafeString:
        if not policy.enabled:
            return badge("", "disabled")
        return badge("good", "in force") if policy.holds(timezone.now()) else badge("", "window closed")

    @admin.display(description="models now")
    def means(self, policy: PinningPolicy) -> str:
        names = policy.models_among(CatalogModel.objects.enabled().values_list("name", flat=True))
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"

    @admin.display(description="when")
    def when(self, policy: PinningPolicy) -> str:
        lines = as_lines(policy.windows).replace("\n", "; ")
        return f"{lines} ({policy.time_zone})" if lines else "always"

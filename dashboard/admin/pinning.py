from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from dashboard import pinpreview
from dashboard.admin.audited import AuditedAdmin
from dashboard.cells import badge
from dashboard.generic import AnyModelForm
from scheduler.models import CatalogModel, PinningPolicy
from scheduler.models.windows import BadWindow, as_lines, from_lines
from scheduler.policy.pin_preview import Preview


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
    """Saving what evicts something needs the same form sent twice: the first answer shows what goes."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)  # the evictions that were shown
    windows = WindowsField(
        required=False,
        help_text="One a line: mon-fri 08:00-18:00, or sat,sun 22:00-06:00 over midnight. Empty: always.",
    )
    time_zone = forms.ChoiceField(choices=lambda: [(zone, zone) for zone in sorted(available_timezones())])

    class Meta:
        model = PinningPolicy
        fields = "__all__"
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.preview: Preview | None = None

    @property
    def only_previewed(self) -> bool:
        """Whether nothing is wrong with it but that its evictions were not seen yet, or are asked to be."""
        return self.preview is not None

    def _post_clean(self) -> None:  # after which the instance is what would be saved
        super()._post_clean()  # type: ignore[misc]  # Django's hook, which its stubs leave out
        if self.errors or not self.instance.enabled:
            return
        seen = pinpreview.of(self.instance)
        goes = pinpreview.mark(seen)
        if "_preview" in self.data or (goes and self.cleaned_data["seen"] != goes):
            self.preview = seen
            self.data = {name: self.data[name] for name in self.data} | {"seen": goes}
            self.add_error(None, "Not saved yet: see what it would do.")


FIELDS = [("name", "enabled"), ("model", "nodes"), ("min_replicas", "priority"), "team", "note"]
WHEN = ("When", {"fields": ["windows", "time_zone"]})


@admin.register(PinningPolicy)
class PinningPolicyAdmin(AuditedAdmin):
    change_form_template = "admin/scheduler/pinningpolicy/change_form.html"
    audit_kind = "pin"
    form = PinningPolicyForm
    list_display = ("name", "shown_state", "model", "means", "nodes", "min_replicas", "when", "priority")
    list_filter = ("enabled",)
    search_fields = ("name", "model", "nodes", "note")

    def get_fieldsets(self, request: HttpRequest, obj: PinningPolicy | None = None) -> Any:
        if self.has_change_permission(request, obj) if obj else self.has_add_permission(request):
            return [(None, {"fields": [*FIELDS, "seen"]}), WHEN]
        return [(None, {"fields": FIELDS}), WHEN]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        form = context["adminform"].form
        if getattr(form, "only_previewed", False):
            preview = form.preview
            context |= {"errors": None, "preview": preview, "previewed": form.instance}
        return super().render_change_form(request, context, *args, **kwargs)

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

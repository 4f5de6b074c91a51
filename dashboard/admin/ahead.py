"""What the scheduler is told about the future: workflows, and the prefixes that it keeps warm."""

from __future__ import annotations

import json

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.utils.safestring import SafeString

from bridge.models import ApiKey
from dashboard.admin.audited import AuditedAdmin
from dashboard.cells import NONE, ago, badge
from dashboard.generic import AnyModelForm
from dashboard.listfield import ListField
from scheduler.models import WarmPrefix, Workflow


class WorkflowForm(AnyModelForm):
    sequence = ListField(
        label="Models",
        widget=forms.TextInput(attrs={"size": 80, "placeholder": "qwen3:8b, llama3.2, nomic-embed-text"}),
        help_text="In the order of their use, separated by commas. Aliases will do.",
    )
    keys = ListField(
        label="Keys",
        widget=forms.TextInput(attrs={"size": 80}),
        help_text="Ids of the keys that follow it. Empty: any key may.",
    )

    class Meta:
        model = Workflow
        fields = "__all__"
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}

    def clean_keys(self) -> list[str]:
        """By account: a rotated key goes on with the workflows of the one that it replaced."""
        ids: list[str] = self.cleaned_data["keys"]
        accounts = dict(ApiKey.objects.filter(public_id__in=ids).values_list("public_id", "account"))
        if unknown := [each for each in ids if each not in accounts]:
            raise ValidationError(f"There is no key {', '.join(unknown)}.")
        return list(dict.fromkeys(accounts[each] for each in ids))


@admin.register(Workflow)
class WorkflowAdmin(AuditedAdmin):
    audit_kind = "workflow"
    form = WorkflowForm
    list_display = ("name", "enabled", "shown_models", "repeats", "shown_keys")
    list_filter = ("enabled",)
    search_fields = ("name", "sequence", "note")
    fields = (("name", "enabled"), "sequence", "repeats", "keys", "note")

    def audit_target(self, row: Workflow) -> str:
        return row.name

    @admin.display(description="models")
    def shown_models(self, workflow: Workflow) -> str:
        return " → ".join(workflow.sequence)

    @admin.display(description="keys")
    def shown_keys(self, workflow: Workflow) -> str:
        return ", ".join(workflow.keys) or "any"


class WarmPrefixForm(AnyModelForm):
    class Meta:
        model = WarmPrefix
        fields = "__all__"
        widgets = {
            "system": forms.Textarea(attrs={"rows": 12, "cols": 90}),
            "note": forms.Textarea(attrs={"rows": 2, "cols": 60}),
        }


@admin.register(WarmPrefix)
class WarmPrefixAdmin(AuditedAdmin):
    audit_kind = "prefix"
    audit_without = (
        "system",
        "tools",
        "seen",
        "last_seen_at",
        "bytes",
    )  # what apps say to models is no audit
    form = WarmPrefixForm
    list_display = ("model", "shown_state", "route", "beginning", "size", "seen", "last_seen", "source")
    list_filter = ("enabled", "source", "learn", "route")
    search_fields = ("model", "note", "digest")
    readonly_fields = ("digest", "source", "size", "seen", "last_seen")
    fieldsets = (
        (None, {"fields": [("model", "enabled"), ("route", "think"), "system", "tools", "note"]}),
        ("Traffic", {"fields": ["learn", ("seen", "last_seen", "size"), ("source", "digest")]}),
    )

    def audit_target(self, row: WarmPrefix) -> str:
        return f"{row.model} {row.digest[:8]}"

    @admin.display(description="state")
    def shown_state(self, prefix: WarmPrefix) -> SafeString:
        if not prefix.enabled:
            return badge("", "disabled")
        if prefix.system or prefix.tools:
            return badge("good", "in force")
        if prefix.learn:
            return badge("warn", "learning", "Its text is taken from the next request with it.")
        return badge("", "hash only", "Switch on 'learn the text' to have it replayed.")

    @admin.display(description="begins")
    def beginning(self, prefix: WarmPrefix) -> str:
        text = prefix.system or (json.dumps(prefix.tools) if prefix.tools else "")
        return f"{text[:60]}…" if len(text) > 60 else text or NONE

    @admin.display(description="bytes", ordering="bytes")
    def size(self, prefix: WarmPrefix) -> str:
        return f"{prefix.bytes:,}"

    @admin.display(description="last seen", ordering="last_seen_at")
    def last_seen(self, prefix: WarmPrefix) -> str:
        return ago(prefix.last_seen_at) if prefix.last_seen_at else NONE

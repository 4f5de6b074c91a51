from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.admin.asking import AskingAdmin
from dashboard.admin.audited import AuditedAdmin
from dashboard.admin.catalogfilters import CapabilityFilter, HolderFilter, HoldingFilter
from dashboard.cells import NONE, ago, badge, gib
from dashboard.generic import AnyModelForm
from dashboard.listfield import ListField
from dashboard.reports import keeping
from scheduler.models import CatalogModel, ModelOnNode
from scheduler.models.digests import Copy, canonical
from scheduler.models.pin_fit import need

if TYPE_CHECKING:
    AnyTabularInline = admin.TabularInline[Any, Any]
else:
    AnyTabularInline = admin.TabularInline


class CopyInline(AnyTabularInline):
    """Where the model is, and with which digest. Programs write these rows."""

    model = ModelOnNode
    fields = readonly_fields = ("node", "shown_digest", "size", "needed", "modified_at", "seen")
    extra = 0
    can_delete = False
    verbose_name_plural = "copies on nodes"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelOnNode]:
        return super().get_queryset(request).select_related("node", "model").order_by("node__name")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="digest")
    def shown_digest(self, copy: ModelOnNode) -> SafeString:
        code = format_html('<code title="{}">{}</code>', copy.digest, copy.digest[:12])
        if copy.digest == right_digest(copy.model):
            return code
        told = "Most nodes hold another digest under this name: this copy serves nobody. Pull it again there."
        return format_html("{} {}", code, badge("warn", "differs", told))

    @admin.display(description="on disk")
    def size(self, copy: ModelOnNode) -> str:
        return gib(copy.size_bytes)

    @admin.display(description="VRAM needed")
    def needed(self, copy: ModelOnNode) -> str:
        return NONE if copy.remote_host else gib(need(copy))

    @admin.display(description="last seen")
    def seen(self, copy: ModelOnNode) -> str:
        return ago(copy.seen_at)


def right_digest(model: CatalogModel) -> str | None:
    return canonical(
        Copy(node=copy.node.name, digest=copy.digest, modified_at=copy.modified_at)
        for copy in model.copies.select_related("node")
        if copy.node.enabled
    )


class CatalogModelForm(AnyModelForm):
    buckets = ListField(
        item=int,
        label="Context buckets",
        widget=forms.TextInput(attrs={"size": 40, "placeholder": "8192, 32768"}),
        help_text="The context lengths that it may be loaded with. Empty: powers of two.",
    )

    class Meta:
        model = CatalogModel
        fields = "__all__"
        widgets = {
            "note": forms.Textarea(attrs={"rows": 2, "cols": 60}),
        }


@admin.register(CatalogModel)
class CatalogModelAdmin(AskingAdmin, AuditedAdmin):
    """Entries come from the nodes; operators decide about them."""

    audit_kind = "model"
    audit_without = ("family", "parameter_size", "quantization", "capabilities", "trained_ctx", "size_bytes")
    form = CatalogModelForm
    list_display = (
        "name",
        "shown_state",
        "what",
        "abilities",
        "context",
        "size",
        "copies_there",
        "min_replicas",
    )
    list_filter = ("enabled", HoldingFilter, HolderFilter, CapabilityFilter, "family")
    search_fields = ("name", "note")
    readonly_fields = ("name", "what", "abilities", "size", "trained_ctx", "first_seen_at", "keep_time")
    inlines = (CopyInline,)
    list_per_page = 50
    actions = ("load_selected", "pin_selected", "unpin_selected")
    fieldsets = (
        (None, {"fields": [("name", "enabled"), ("what", "size"), "abilities", "note"]}),
        (
            "Context and slots",
            {"fields": [("num_ctx", "num_ctx_max", "trained_ctx"), "buckets", "slots"]},
        ),
        ("Placement", {"fields": ["min_replicas", "on_spill", "keep_time"]}),
        ("Requests", {"fields": ["think"]}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: CatalogModel | None = None) -> bool:
        """What a node holds would be back after the next sync."""
        held = obj is None or obj.copies.exists()
        return not held and super().has_delete_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CatalogModel]:
        return super().get_queryset(request).prefetch_related("copies__node")

    def audit_target(self, row: CatalogModel) -> str:
        return row.name

    @admin.display(description="worth keeping idle")
    def keep_time(self, model: CatalogModel) -> str:
        """From the gaps of the last two weeks, on each node that held it."""
        return " ".join(keeping.of_model(model.name)) or "Too little was seen of it in the last two weeks."

    @admin.display(description="state")
    def shown_state(self, model: CatalogModel) -> SafeString:
        digests = {copy.digest for copy in model.copies.all() if copy.node.enabled}
        if not model.enabled:
            return badge("", "disabled")
        if not digests:
            return badge("warn", "held nowhere", "No enabled node has it.")
        if len(digests) > 1:
            return badge("warn", "nodes differ", "Nodes hold different digests under this name.")
        return badge("good", "ready")

    @admin.display(description="model")
    def what(self, model: CatalogModel) -> str:
        return " ".join(filter(None, (model.family, model.parameter_size, model.quantization))) or NONE

    @admin.display(description="capabilities")
    def abilities(self, model: CatalogModel) -> str:
        return ", ".join(model.capabilities) or NONE

    @admin.display(description="context", ordering="num_ctx")
    def context(self, model: CatalogModel) -> str:
        largest = model.largest_ctx
        return f"{model.default_ctx:,}" + (f" of {largest:,}" if largest else "")

    @admin.display(description="on disk", ordering="size_bytes")
    def size(self, model: CatalogModel) -> str:
        return gib(model.size_bytes)

    @admin.display(description="nodes")
    def copies_there(self, model: CatalogModel) -> str:
        return ", ".join(sorted(copy.node.name for copy in model.copies.all())) or NONE

    @admin.action(description="Load selected models where they fit best", permissions=["operate"])
    def load_selected(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> None:
        self.ask(request, "load", [("", model.name) for model in queryset])

    @admin.action(description="Pin selected models", permissions=["operate"])
    def pin_selected(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> None:
        self.ask(request, "pin", [("", model.name) for model in queryset])

    @admin.action(description="Unpin selected models", permissions=["operate"])
    def unpin_selected(self, request: HttpRequest, queryset: QuerySet[CatalogModel]) -> None:
        self.ask(request, "unpin", [("", model.name) for model in queryset])

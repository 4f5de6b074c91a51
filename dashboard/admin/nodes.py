from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.admin.asking import AskingAdmin
from dashboard.admin.audited import AuditedAdmin
from dashboard.admin.nodeaccess import AccessFields, described
from dashboard.cells import NONE, ago, badge, gib
from dashboard.listfield import ListField
from dashboard.sizefield import SizeField
from scheduler.models import Node

TONES = {"up": "good", "unknown": "", "down": "bad", "quarantined": "bad", "draining": "warn", "disabled": ""}


class NodeForm(AccessFields):
    vram_bytes = SizeField(
        label="VRAM",
        required=False,
        help_text="What models may take in all, such as 24 GiB. Empty: what its agent or NVML reports.",
    )

    gpu_uuids = ListField(
        label="Its GPUs",
        widget=forms.TextInput(attrs={"size": 60, "placeholder": "GPU-6b1c2f0e-…"}),
        help_text="UUIDs, where the node has not all GPUs of its machine. Empty: all.",
    )

    class Meta:
        model = Node
        fields = "__all__"
        widgets = {"note": forms.Textarea(attrs={"rows": 2, "cols": 60})}


@admin.register(Node)
class NodeAdmin(AskingAdmin, AuditedAdmin):
    audit_kind = "node"
    audit_without = (
        "state",
        "state_since",
        "state_reason",
        "last_seen_at",
        "last_error",
        "gpus",
        "gpus_at",
        "scene",
        "scene_at",
        "sealed",
    )
    form = NodeForm
    list_display = ("name", "shown_state", "url", "version", "slots_there", "held", "memory", "seen")
    list_filter = ("state", "enabled", "draining", "kv_type")
    search_fields = ("name", "url", "note")
    search_help_text = "Name, address or note."
    readonly_fields = (
        "shown_state",
        "version",
        "seen",
        "last_error",
        "load_speed",
        "readings",
        "models_there",
        "kept_access",
    )
    fieldsets = (
        (None, {"fields": [("name", "enabled"), "url", "note"]}),
        (
            "Capacity",
            {
                "fields": ["slots", "vram_bytes", "kv_type"],
                "description": "As the node's environment has it: the bridge cannot read that from the node.",
            },
        ),
        ("GPUs", {"fields": ["agent_url", "gpu_uuids", "readings"]}),
        (
            "Access",
            {
                "fields": ["kept_access", "new_headers", "new_authority", "forget_access"],
                "description": "For a node behind a reverse proxy. What is kept is sealed and never shown.",
            },
        ),
        ("Cost", {"classes": ["collapse"], "fields": [("price_per_hour", "price_per_kwh", "watts")]}),
        (
            "Seen",
            {"fields": ["shown_state", ("version", "seen"), "last_error", "load_speed", "models_there"]},
        ),
    )
    actions = ("drain_selected", "undrain_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        nodes: QuerySet[Node] = super().get_queryset(request)
        return nodes.annotate(copies_held=Count("copies"))

    def get_fieldsets(self, request: HttpRequest, obj: Node | None = None) -> Any:
        """A node that is only being added has not been seen."""
        return self.fieldsets if obj else [*self.fieldsets[:2], NEW_GPUS, NEW_ACCESS, self.fieldsets[4]]

    def audit_target(self, row: Node) -> str:
        return row.name

    def _facts(self, row: Any) -> dict[str, Any]:
        """A changed header is an event; its value is in none."""
        return super()._facts(row) | {"access": described(row)}

    @admin.display(description="kept now")
    def kept_access(self, node: Node) -> str:
        return described(node) or "Nothing: the node is open to whoever reaches it."

    @admin.display(description="state", ordering="state")
    def shown_state(self, node: Node) -> SafeString:
        word: str = node.state if node.enabled else "disabled"
        if node.draining and word in (Node.State.UP, Node.State.UNKNOWN):
            word = "draining"
        return badge(TONES[word], word, node.state_reason)

    @admin.display(description="slots", ordering="slots")
    def slots_there(self, node: Node) -> int:
        return node.parallel

    @admin.display(description="models", ordering="copies_held")
    def held(self, node: Any) -> SafeString:
        url = f"{reverse('admin:scheduler_catalogmodel_changelist')}?node={node.name}"
        return format_html('<a href="{}">{}</a>', url, node.copies_held)

    @admin.display(description="VRAM")
    def memory(self, node: Node) -> str:
        if not node.gpus:
            return gib(node.vram_total)
        return f"{gib(node.vram_total)}, {gib(sum(gpu['free'] for gpu in node.gpus))} free"

    @admin.display(description="last answer", ordering="last_seen_at")
    def seen(self, node: Node) -> str:
        return ago(node.last_seen_at)

    @admin.display(description="measured load speed")
    def load_speed(self, node: Node) -> str:
        return NONE if node.load_gbps is None else f"{node.load_gbps:.2f} GB/s"

    @admin.display(description="readings")
    def readings(self, node: Node) -> SafeString | str:
        if not node.gpus:
            return "None. VRAM figures come from the node's /api/ps."
        head = format_html_join("", '<th scope="col">{}</th>', ((word,) for word in GPU_HEAD))
        rows = format_html_join("", "<tr>{}</tr>", ((_gpu_cells(gpu),) for gpu in node.gpus))
        table = '<table class="sides"><thead><tr>{}</tr></thead><tbody>{}</tbody></table><p>Read {}.</p>'
        return format_html(table, head, rows, ago(node.gpus_at))

    @admin.display(description="models")
    def models_there(self, node: Node) -> SafeString | str:
        copies = node.copies.select_related("model").order_by("model__name")
        links = (
            (reverse("admin:scheduler_catalogmodel_change", args=[copy.model_id]), copy.model.name)
            for copy in copies
        )
        return (
            format_html_join(", ", '<a href="{}">{}</a>', links) or "None yet: they come with the next sync."
        )

    @admin.action(description="Drain selected nodes", permissions=["operate"])
    def drain_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.ask(request, "drain", [(node.name, "") for node in queryset])

    @admin.action(description="End the drain of selected nodes", permissions=["operate"])
    def undrain_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.ask(request, "undrain", [(node.name, "") for node in queryset])


NEW_ACCESS = ("Access", {"classes": ["collapse"], "fields": ["new_headers", "new_authority"]})
NEW_GPUS = ("GPUs", {"fields": ["agent_url", "gpu_uuids"]})
GPU_HEAD = ("GPU", "UUID", "free", "in all", "busy", "power", "temperature")


def _gpu_cells(gpu: dict[str, Any]) -> SafeString:
    units = (("util", "{} %"), ("power_w", "{:.0f} W"), ("temperature", "{} °C"))
    told = [NONE if gpu.get(name) is None else form.format(gpu[name]) for name, form in units]
    cells = (gpu["name"], gpu["uuid"], gib(gpu["free"]), gib(gpu["total"]), *told)
    return format_html_join("", "<td>{}</td>", ((cell,) for cell in cells))

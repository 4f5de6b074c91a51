"""What the scheduler did and learned, and what was asked of it. Programs write these rows."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.cells import NONE, badge, gib, seconds
from dashboard.paging import BoundedPaginator
from scheduler.models import LedgerEntry, Measurement, ModelOnNode, OperatorRequest

OUTCOMES = {"ok": "good", "hit": "good", "late": "warn", "wasted": "warn", "failed": "bad", "harmful": "bad"}
STATES = {"asked": "warn", "done": "good", "refused": "bad"}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("second", "kind", "what", "why", "took", "came", "reason")
    list_filter = ("kind", "outcome", "cause")
    search_fields = ("=model", "=node", "=key")
    search_help_text = "A model, a node, or the id of a key, in full."
    date_hierarchy = "at"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    fields = (
        "second",
        ("kind", "cause", "who"),
        ("model", "node"),
        ("time", "size"),
        ("shown_outcome", "saved"),
        "reason",
    )

    @admin.display(description="at (UTC)", ordering="at")
    def second(self, entry: LedgerEntry) -> str:
        return entry.at.strftime("%Y-%m-%d %H:%M:%S")

    @admin.display(description="key", ordering="key")
    def who(self, entry: LedgerEntry) -> str | SafeString:
        if not entry.key:
            return NONE
        url = f"{reverse('admin:bridge_apikey_changelist')}?q={entry.key}"
        return format_html('<a href="{}">{}</a>', url, entry.key)

    @admin.display(description="cause, key", ordering="cause")
    def why(self, entry: LedgerEntry) -> SafeString:
        return format_html("{}<br>{}", entry.cause or NONE, self.who(entry) if entry.key else "")

    @admin.display(description="took, VRAM", ordering="seconds")
    def took(self, entry: LedgerEntry) -> SafeString:
        return format_html(
            "{}<br>{}", seconds(entry.seconds), "" if entry.bytes is None else gib(entry.bytes)
        )

    @admin.display(description="took")
    def time(self, entry: LedgerEntry) -> str:
        return seconds(entry.seconds)

    @admin.display(description="VRAM")
    def size(self, entry: LedgerEntry) -> str:
        return gib(entry.bytes)

    @admin.display(description="saved", ordering="saved_s")
    def saved(self, entry: LedgerEntry) -> str:
        return seconds(entry.saved_s)

    @admin.display(description="model, node", ordering="model")
    def what(self, entry: LedgerEntry) -> SafeString:
        return format_html("{}<br>{}", entry.model or NONE, entry.node)

    @admin.display(description="outcome, saved", ordering="outcome")
    def came(self, entry: LedgerEntry) -> SafeString:
        saved = "" if entry.saved_s is None else seconds(entry.saved_s)
        return format_html("{}<br>{}", self.shown_outcome(entry), saved)

    @admin.display(description="outcome", ordering="outcome")
    def shown_outcome(self, entry: LedgerEntry) -> SafeString:
        return badge(OUTCOMES.get(entry.outcome, ""), entry.outcome or "open")


@admin.register(OperatorRequest)
class OperatorRequestAdmin(ReadOnlyAdmin):
    list_display = ("at", "asked_by", "kind", "about", "node", "shown_state", "outcome", "finished_at")
    list_filter = ("state", "kind")
    search_fields = ("asked_by", "model", "node", "=request_id")
    date_hierarchy = "at"
    fields = ("at", "asked_by", "kind", "about", "node", "shown_state", "outcome", "finished_at")

    @admin.display(description="model or request", ordering="model")
    def about(self, asked: OperatorRequest) -> str:
        return asked.model or asked.request_id or NONE

    @admin.display(description="state", ordering="state")
    def shown_state(self, asked: OperatorRequest) -> SafeString:
        return badge(STATES[asked.state], asked.state)


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    list_display = (
        "models",
        "node",
        "num_ctx",
        "slots",
        "kv_type",
        "vram",
        "host",
        "load_time",
        "samples",
        "at",
    )
    list_filter = ("kv_type", "num_ctx", "node")
    search_fields = ("digest", "node")
    fields = ("models", "digest", *list_display[1:])

    ordering = ("-at",)

    @admin.display(description="models", ordering="digest")
    def models(self, row: Measurement) -> str:
        names = ModelOnNode.objects.filter(digest=row.digest).values_list("model__name", flat=True).distinct()
        return ", ".join(sorted(names)) or row.digest[:12]

    @admin.display(description="in VRAM", ordering="size_vram")
    def vram(self, row: Measurement) -> str:
        return gib(row.size_vram)

    @admin.display(description="in host memory")
    def host(self, row: Measurement) -> str:
        spilled = row.size_bytes - row.size_vram
        return gib(spilled) if spilled > 0 else NONE

    @admin.display(description="load time", ordering="load_s")
    def load_time(self, row: Measurement) -> str:
        return seconds(row.load_s)

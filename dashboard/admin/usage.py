from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from bridge.models import Outcome, UsageRecord
from dashboard import story
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.admin.usagefilters import ModelFilter, NodeFilter, ReasonFilter
from dashboard.paging import BoundedPaginator


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    """Quick over ten million rows: nothing here counts or compares more than a bounded number of them."""

    change_form_template = "admin/bridge/usagerecord/change_form.html"
    list_display = ("shown_at", "who", "what", "shown_outcome", "load", "tokens", "timing")
    list_filter = ("outcome", ModelFilter, NodeFilter, ReasonFilter)
    search_fields = ("request_id", "key")  # how: get_search_results
    search_help_text = "A request id (X-Request-Id), or the id of a key."
    date_hierarchy = "at"
    ordering = ("-at",)
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    sortable_by = ("shown_at",)
    fieldsets = (
        (None, {"fields": [("request_id", "second"), ("outcome", "status", "reason")]}),
        ("Who", {"fields": [("who", "team"), ("address", "client")]}),
        ("What", {"fields": [("model", "node"), ("dialect", "route", "stream")]}),
        ("Tokens", {"fields": [("prompt_tokens", "cached_tokens", "output_tokens")]}),
        (
            "Milliseconds",
            {
                "fields": [
                    ("queue_ms", "load_ms", "load"),
                    ("ttft_ms", "total_ms"),
                    ("prompt_eval_ms", "eval_ms"),
                ]
            },
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Who searches for a request by its id wants its page."""
        term = request.GET.get("q", "").strip()
        if term.startswith("req_") and self.has_view_permission(request):
            found = UsageRecord.objects.filter(request_id=term).values_list("pk", flat=True).first()
            if found is not None:
                return redirect("admin:bridge_usagerecord_change", found)
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        record = self.get_object(request, unquote(object_id))
        extra = {} if record is None else self._beside(request, record)
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))

    @staticmethod
    def _beside(request: HttpRequest, record: UsageRecord) -> dict[str, Any]:
        """What happened to the request, and why there; the ledger's part for who may see the ledger."""
        sees = request.user.has_perm("scheduler.view_ledgerentry")
        phases = story.phases(record, story.entries_about(record) if sees else [])
        return {
            "title": f"Request {record.request_id}",
            "subtitle": None,
            "bars": story.bars(phases, record.total_ms),
            "why": story.why_there(record),
            "meaning": story.REASONS.get(record.reason, ""),
            "brought": story.brought_by(record) if sees else None,
        }

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """Equal to the letter: Django's own search ignores case, and with it every index."""
        term = search_term.strip()
        return (queryset.filter(Q(request_id=term) | Q(key=term)) if term else queryset), False

    @admin.display(description="at", ordering="at")
    def shown_at(self, record: UsageRecord) -> SafeString:
        day, time = record.at.strftime("%Y-%m-%d %H:%M:%S").split()
        return format_html("{}<br>{}", day, time)

    @admin.display(description="at (UTC)")
    def second(self, record: UsageRecord) -> str:
        return record.at.strftime("%Y-%m-%d %H:%M:%S")

    @admin.display(description="model, node")
    def what(self, record: UsageRecord) -> SafeString:
        return format_html("{}<br>{}", record.model or "none", record.node)

    @admin.display(description="key")
    def who(self, record: UsageRecord) -> str | SafeString:
        if not record.key:
            return record.address or "unknown"
        url = f"{reverse('admin:bridge_apikey_changelist')}?q={record.key}"
        return format_html('<a href="{}">{}</a>', url, record.key_name or record.key)

    @admin.display(description="outcome")
    def shown_outcome(self, record: UsageRecord) -> SafeString:
        badge, outcome = '<span class="badge {}">{}</span><br>{} {}', Outcome(record.outcome)
        return format_html(badge, outcome, outcome.label, record.status or "", record.reason)

    @admin.display(description="tokens")
    def tokens(self, record: UsageRecord) -> SafeString:
        return format_html("{} in<br>{} out", f"{record.prompt_tokens:,}", f"{record.output_tokens:,}")

    @admin.display(description="seconds")
    def timing(self, record: UsageRecord) -> SafeString:
        first = "" if record.ttft_ms is None else f"{record.ttft_ms / 1000:.2f} first token"
        lines = [f"{record.total_ms / 1000:.2f}", f"{record.queue_ms / 1000:.2f} queued", first]
        return format_html("{}<br><small>{}<br>{}</small>", *lines)

from __future__ import annotations

from decimal import Decimal

from django.contrib import admin

from dashboard.admin.audited import AuditedAdmin
from scheduler.models import GpuType

HOURS_A_MONTH = 730


@admin.register(GpuType)
class GpuTypeAdmin(AuditedAdmin):
    audit_kind = "gpu type"
    list_display = ("name", "enabled", "vram_gb", "load_gbps", "speed", "usd_per_hour", "month", "note")
    list_filter = ("enabled",)
    search_fields = ("name", "note")
    fields = (("name", "enabled"), "vram_gb", "load_gbps", "speed", "usd_per_hour", "note")

    def audit_target(self, row: GpuType) -> str:
        return row.name

    @admin.display(description="$ per month", ordering="usd_per_hour")
    def month(self, row: GpuType) -> str:
        return f"{row.usd_per_hour * Decimal(HOURS_A_MONTH):,.0f}"

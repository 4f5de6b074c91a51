from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class DashboardConfig(AppConfig):
    name = "dashboard"
    verbose_name = "Dashboard"
    default_auto_field = "django.db.models.BigAutoField"


class BridgeAdminConfig(AdminConfig):
    """Puts our AdminSite in the place of Django's, under Django's own name and urls."""

    default_site = "dashboard.site.BridgeAdminSite"

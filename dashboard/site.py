"""The admin site: Django's own, under our name."""

from __future__ import annotations

from django.contrib.admin import AdminSite


class BridgeAdminSite(AdminSite):
    site_header = "Ollama Bridge"
    site_title = "Ollama Bridge"
    index_title = "Overview"
    enable_nav_sidebar = True

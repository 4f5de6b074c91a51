"""The admin site: Django's own, under our name, with a start page that says how today goes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path

from dashboard import livepage
from dashboard.live import may_watch
from dashboard.overview import overview

APPS = ("bridge", "scheduler", "auth", "axes")
NAMES = {"auth": "People", "axes": "Sign-ins"}
MODELS = (
    "ApiKey",
    "UsageRecord",
    "AuditEvent",
    "Node",
    "CatalogModel",
    "Alias",
    "PinningPolicy",
    "User",
    "Group",
)


def _place(order: Sequence[str], name: str) -> int:
    """Where a name stands; those that are not in the order stay behind it as they were."""
    return order.index(name) if name in order else len(order)


class BridgeAdminSite(AdminSite):
    site_header = "Ollama Bridge"
    site_title = "Ollama Bridge"
    index_title = "Overview"
    enable_nav_sidebar = True
    site_url = None  # the address of the site itself is the API, which is nothing to look at

    def get_urls(self) -> list[Any]:
        live = [
            path("live/", self.admin_view(partial(livepage.page, site=self)), name="live"),
            path("live.json", self.admin_view(livepage.figures), name="live_figures"),
            path("timeline/", self.admin_view(partial(livepage.timeline_page, site=self)), name="timeline"),
            path("live/ask/", self.admin_view(livepage.ask), name="live_ask"),
        ]
        return live + super().get_urls()

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Ours first, and in the order of use rather than of the alphabet."""
        apps = sorted(
            super().get_app_list(request, app_label), key=lambda app: _place(APPS, app["app_label"])
        )
        for app in apps:
            app["name"] = NAMES.get(app["app_label"], app["name"])
            app["models"].sort(key=lambda model: _place(MODELS, model["object_name"]))
        return apps

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        seen = {"may_watch": may_watch(request.user)}
        return super().index(request, overview(request) | seen | (extra_context or {}))

"""The admin site: Django's own, under our name, with a start page that says how today goes."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path

from dashboard import livepage, tryit
from dashboard.navigation import menu
from dashboard.overview import overview
from dashboard.planning import page as plan
from dashboard.reports import pages


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
            path("try/", self.admin_view(partial(tryit.page, site=self)), name="try"),
            path("try/key/", self.admin_view(tryit.key), name="try_key"),
        ]
        plans = [
            path("plan/", self.admin_view(partial(plan.page, site=self)), name="plan"),
            path("plan/<int:pk>/", self.admin_view(partial(plan.one, site=self)), name="plan_run"),
            path("plan/<int:pk>/progress.json", self.admin_view(plan.progress), name="plan_progress"),
            path("plan/<int:pk>/cancel/", self.admin_view(plan.cancel), name="plan_cancel"),
        ]
        reports = [
            path(
                f"reports/{name}/",
                self.admin_view(partial(pages.page, name=name, site=self)),
                name=f"report_{name}",
            )
            for name in pages.PAGES
        ]
        return live + plans + reports + super().get_urls()

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if not settings.SIGNIN_EXTRA:
            return super().login(request, extra_context)
        from dashboard.signin import guarded  # an extra

        return guarded(super().login)(request, extra_context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        return apps if app_label else menu(request, apps)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, overview(request) | (extra_context or {}))

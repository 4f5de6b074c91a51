"""Everything that is not the API: the admin and its pages. The API's routes are in bridge.hot."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from bridge import loginlink
from bridge.views import documentation

urlpatterns: list[URLPattern | URLResolver] = [
    path("docs", documentation.page, name="documentation"),
    path("docs/", documentation.page),
    path("openapi.json", documentation.openapi, name="openapi"),
    path("login/<str:uid>/<str:token>/", loginlink.follow, name="loginlink"),
    path("admin/", admin.site.urls),
    *([path("accounts/", include("dashboard.signinurls"))] if settings.SIGNIN_EXTRA else []),
    path("dashboard/", RedirectView.as_view(pattern_name="admin:index")),
]

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from dashboard.generic import AnyModelAdmin


class TitledAdmin(AnyModelAdmin):
    """A list whose title is what it lists, and not what to do with it."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        name = str(self.opts.verbose_name_plural)
        title = {"title": name[:1].upper() + name[1:]}
        return super().changelist_view(request, title | (extra_context or {}))

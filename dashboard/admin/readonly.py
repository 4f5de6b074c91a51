from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from dashboard.admin.titled import TitledAdmin


class ReadOnlyAdmin(TitledAdmin):
    """Rows that programs write: nobody adds, changes or deletes them here, superusers neither."""

    actions = None
    change_form_template = "admin/readonly_change_form.html"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

"""Users and groups, as Django has them, with the audit log."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from dashboard.admin.audited import AuditedAdmin
from dashboard.admin.labelled import label_parts
from dashboard.generic import AnyUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, AnyUserAdmin):
    audit_without = ("password", "last_login")
    list_display = ("username", "email", "first_name", "last_name", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        label_parts(field, str(db_field.verbose_name).capitalize())
        return field

    def audit_target(self, row: User) -> str:
        return row.get_username()

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        # A new password passes by save_model; Django tells of it here only, in the user's history.
        if request.resolver_match and request.resolver_match.url_name == "auth_user_password_change":
            self._record(request, "password", obj, {}, {})
        return super().log_change(request, obj, message)


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    def audit_target(self, row: Group) -> str:
        return row.name

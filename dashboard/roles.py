"""Giving permissions to groups in a migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps as live_apps
from django.contrib.auth.management import create_permissions


def grant(apps: Any, roles: Mapping[str, Iterable[str]]) -> None:
    """Make the groups where they are missing, and add permissions (`app.codename`) to them. What operators
    gave or took in these groups themselves stays."""
    wanted = {permission for permissions in roles.values() for permission in permissions}
    for label in {permission.partition(".")[0] for permission in wanted}:
        # Django makes permissions after all migrations, which is too late for a new database.
        create_permissions(live_apps.get_app_config(label), verbosity=0)
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in apps.get_model("auth", "Permission").objects.select_related("content_type")
    }
    for role, permissions in roles.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        group.permissions.add(*(known[name] for name in permissions if name in known))

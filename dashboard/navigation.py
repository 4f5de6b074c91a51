"""The dashboard's own pages in the menu, before what the admin lists by itself. A new page adds a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from dashboard.live import may_watch
from dashboard.tryit import may_try


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuPage:
    """`name` is what the menu says, `view` the name of its url in the admin."""

    name: str
    view: str
    allowed: Callable[[HttpRequest], bool]


def permitted(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


PAGES = (
    MenuPage(name="Live", view="live", allowed=lambda request: may_watch(request.user)),
    MenuPage(name="Timeline", view="timeline", allowed=permitted("scheduler.view_ledgerentry")),
    MenuPage(name="Try a model", view="try", allowed=may_try),
    MenuPage(name="Plan a fleet", view="plan", allowed=permitted("scheduler.add_planrun")),
    MenuPage(name="Auth report", view="report_auth", allowed=permitted("bridge.view_apikey")),
    MenuPage(name="VRAM report", view="report_vram", allowed=permitted("scheduler.view_ledgerentry")),
    MenuPage(name="Cost report", view="report_cost", allowed=permitted("bridge.view_usagerecord")),
)

# What the menu lists first comes first; what is not named stays behind as Django has it.
APPS = ("bridge", "scheduler", "auth", "axes")
NAMES = {
    "bridge": "Keys and usage",
    "scheduler": "Nodes and models",
    "auth": "People",
    "axes": "Sign-ins",
}
MODELS = (
    "ApiKey",
    "Team",
    "UsageRecord",
    "AuditEvent",
    "Node",
    "CatalogModel",
    "Alias",
    "PinningPolicy",
    "Workflow",
    "WarmPrefix",
    "GpuType",
    "NodePrice",
    "HostedPrice",
    "User",
    "Group",
)


def menu(request: HttpRequest, apps: list[Any]) -> list[Any]:
    """Django's list of apps in the order of use, with the dashboard's pages before it."""
    apps = sorted(apps, key=lambda app: _place(APPS, app["app_label"]))
    for app in apps:
        app["name"] = NAMES.get(app["app_label"], app["name"])
        app["models"].sort(key=lambda model: _place(MODELS, model["object_name"]))
    return [*_watch(request), *apps]


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _watch(request: HttpRequest) -> list[Any]:
    """The dashboard's pages in the shape of an app; none where the user may see none."""
    pages = [_entry(page) for page in PAGES if page.allowed(request)]
    if not pages:
        return []
    return [{"name": "Watch", "app_label": "watch", "app_url": pages[0]["admin_url"], "models": pages}]


def _entry(page: MenuPage) -> dict[str, Any]:
    name = page.view.title().replace("_", "")
    return {
        "name": page.name,
        "object_name": name,
        "admin_url": reverse(f"admin:{page.view}"),
        "add_url": None,
        "view_only": True,
        "perms": {"view": True},
    }

"""The reports as pages of the admin: the same figures as `manage.py report`, with filters and CSV."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from bridge.models import ApiKey
from dashboard.cells import NONE
from dashboard.reports import output, period
from dashboard.reports.register import REPORTS
from dashboard.reports.report import Asked, Column, Report, Table, Value
from scheduler.models import CatalogModel, Node

PAGES = {
    "auth": ("bridge.view_apikey", "Auth", "who uses which key, and who was turned away"),
    "vram": ("scheduler.view_ledgerentry", "VRAM", "how full, what loads cost, and what to change"),
    "cost": ("bridge.view_usagerecord", "Cost", "whose GPU-seconds, at what price"),
}
QUICK = (("24h", "24 hours", 1), ("7d", "7 days", 7), ("30d", "30 days", 30))
USUAL = "7d"
NARROWING = ("node", "model", "key", "team")
MOST_ROWS = 100  # of a table on a page; CSV has all
MOST_CHOICES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A page that the user may see."""

    name: str
    title: str
    about: str
    current: bool = False


def links(user: AbstractBaseUser | AnonymousUser, current: str = "") -> list[Link]:
    return [
        Link(name=name, title=title, about=about, current=name == current)
        for name, (permission, title, about) in PAGES.items()
        if isinstance(user, User) and user.has_perm(permission)
    ]


@require_GET
def page(request: HttpRequest, name: str, site: AdminSite) -> HttpResponse:
    if name not in PAGES:
        raise Http404(f"There is no report called {name}.")
    if not request.user.has_perm(PAGES[name][0]):
        raise PermissionDenied
    asked, complaint = asked_of(request)
    report = REPORTS[name].build(asked)
    if "csv" in request.GET:
        return _csv(name, report, request.GET["csv"], asked)
    context = {
        **site.each_context(request),
        "title": f"{report.title} report",
        "name": name,
        "about": PAGES[name][2],
        "report": report,
        "asked": asked,
        "complaint": complaint,
        "last_day": (asked.end - timedelta(microseconds=1)).date(),
        "links": links(request.user, name),
        "quick": _quick(asked),
        "choices": choices(asked),
        "tables": [_drawn(table, asked, request) for table in report.tables],
        "notes": list(report.notes()),
        "narrowed": asked.narrowed(),
    }
    return TemplateResponse(request, "admin/report.html", context)


def asked_of(request: HttpRequest) -> tuple[Asked, str]:
    """What the query asks for, and what is wrong with it; the last seven days where it says nothing."""
    now, told = timezone.now(), request.GET
    narrowed = {name: told.get(name, "").strip() for name in NARROWING}
    try:
        start = period.start(told.get("from") or USUAL, now)
        end = period.end(told.get("to") or "now", now)
    except ArgumentTypeError as error:
        return Asked(start=now - timedelta(days=7), end=now, **narrowed), str(error)
    if end <= start:
        asked = Asked(start=now - timedelta(days=7), end=now, **narrowed)
        return asked, "The period ends before it begins; these are the last seven days."
    return Asked(start=start, end=min(end, max(now, start + timedelta(hours=1))), **narrowed), ""


def _quick(asked: Asked) -> list[tuple[str, str, bool]]:
    """Links to usual periods: query, words, whether it is the one shown."""
    now = timezone.now()
    return [
        (
            urlencode({"from": words, **asked.narrowed()}),
            title,
            abs((asked.end - asked.start) - timedelta(days=days)) < timedelta(minutes=5)
            and now - asked.end < timedelta(minutes=5),
        )
        for words, title, days in QUICK
    ]


def choices(asked: Asked) -> list[dict[str, Any]]:
    """The filters with what may be chosen."""
    keys = ApiKey.objects.order_by("name").values_list("public_id", "name")[:MOST_CHOICES]
    teams = ApiKey.objects.exclude(team="").order_by("team").values_list("team", flat=True).distinct()
    given = asked.narrowed()
    lists: dict[str, Iterable[tuple[str, str]]] = {
        "node": [(name, name) for name in Node.objects.values_list("name", flat=True)],
        "model": [
            (name, name) for name in CatalogModel.objects.values_list("name", flat=True)[:MOST_CHOICES]
        ],
        "key": [(public_id, f"{name} ({public_id})") for public_id, name in keys],
        "team": [(team, team) for team in teams[:MOST_CHOICES]],
    }
    return [
        {"name": name, "chosen": given.get(name, ""), "values": _with(list(values), given.get(name, ""))}
        for name, values in lists.items()
    ]


def _with(values: list[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    """What is asked for stays a choice, though it is gone from the tables."""
    return values if not chosen or chosen in dict(values) else [(chosen, chosen), *values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A table as the template shows it: cells as text, with their columns."""

    name: str
    title: str
    about: str
    columns: tuple[Column, ...]
    rows: list[list[tuple[str, Column]]]
    left: int  # rows that only the CSV has
    foot: list[str]
    csv: str


def _drawn(table: Table, asked: Asked, request: HttpRequest) -> Drawn:
    rows = iter(table.rows)
    first = [
        [(cell(value), column) for value, column in zip(row, table.columns, strict=True)]
        for row in islice(rows, MOST_ROWS)
    ]
    left = sum(1 for _ in rows)
    totals = table.totals()
    foot = [cell(totals[column.name]) if column.name in totals else "" for column in table.columns]
    query = {name: value for name, value in request.GET.items() if name != "csv"}
    return Drawn(
        name=table.name,
        title=table.title or table.name,
        about=table.about,
        columns=table.columns,
        rows=first,
        left=left,
        foot=foot if any(foot) else [],
        csv=f"?{urlencode(query | {'csv': table.name})}",
    )


def cell(value: Value) -> str:
    """A value for people."""
    match value:
        case None | "":
            return NONE
        case datetime():
            return f"{value:%Y-%m-%d\u00a0%H:%M}"
        case Decimal():
            return f"{value:,}"
        case _:
            return output.shown(value)


def _csv(name: str, report: Report, wanted: str, asked: Asked) -> HttpResponse:
    """One of its tables, whole."""
    found = [table for table in report.tables if table.name == wanted] or list(report.tables[:1])
    reply = HttpResponse(content_type="text/csv; charset=utf-8")
    day = f"{asked.start:%Y-%m-%d}"
    reply["Content-Disposition"] = f'attachment; filename="{name}-{found[0].name}-{day}.csv"'
    output.write_csv(found[0], _Writing(reply))
    return reply


class _Writing:
    def __init__(self, reply: HttpResponse) -> None:
        self.reply = reply

    def write(self, text: str) -> None:
        self.reply.write(text)

"""What the start page says: today's figures, and what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from bridge.models import ApiKey
from dashboard import figures
from dashboard.soon import SOON

MOST = 5  # lines of one kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that needs attention, and the page that shows it."""

    text: str
    url: str


def overview(request: HttpRequest) -> dict[str, Any]:
    """The start page's context: only what the user may see."""
    now = timezone.now()
    start = figures.midnight(now)
    context: dict[str, Any] = {"attention": []}
    if request.user.has_perm("bridge.view_usagerecord"):
        context |= {"today": figures.since(start), "usage_url": usage_url(start)}
        context["attention"] += refused_lines(start)
    if request.user.has_perm("bridge.view_apikey"):
        context["attention"] += key_lines(now)
    return context


def usage_url(start: datetime, **filters: str) -> str:
    """The list of usage records of a day."""
    day = {"at__year": start.year, "at__month": start.month, "at__day": start.day}
    return f"{reverse('admin:bridge_usagerecord_changelist')}?{urlencode(day | filters)}"


def refused_lines(start: datetime) -> list[Line]:
    return [
        Line(
            text=f"{refused['count']:,} refused today: {refused['reason'] or 'no reason kept'}",
            url=usage_url(start, outcome__exact="refused", reason=refused["reason"]),
        )
        for refused in figures.refusals(start, MOST)
    ]


def key_lines(now: datetime) -> list[Line]:
    """Keys that end soon, and keys that cannot be verified here."""
    lost = ApiKey.objects.unverifiable().order_by("name")[:MOST]
    ending = ApiKey.objects.expiring(now, SOON).order_by("expires_at")[:MOST]
    told = [(key, "was made with a pepper that is not set here: nobody can use it") for key in lost]
    told += [(key, f"expires on {key.expires_at:%Y-%m-%d}") for key in ending]
    return [
        Line(text=f"The key {key.name} {what}", url=reverse("admin:bridge_apikey_change", args=[key.pk]))
        for key, what in told
    ]

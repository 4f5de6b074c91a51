"""What the start page says: how the fleet is now, today's figures, and what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.utils import timezone

from dashboard import attention, figures, live
from scheduler.models import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The fleet at this moment."""

    nodes: int
    up: int
    residents: int
    running: int
    waiting: int
    used: int  # bytes of VRAM
    total: int | None  # None: some node's is not known

    @property
    def used_share(self) -> int | None:
        """Percent."""
        return round(100 * self.used / self.total) if self.total else None


def overview(request: HttpRequest) -> dict[str, Any]:
    """The start page's context: only what the user may see."""
    now = timezone.now()
    demand = async_to_sync(live.demand)()
    context: dict[str, Any] = {"attention": attention.lines(request, demand, now)}
    if live.may_watch(request.user):
        context["health"] = health(demand)
    if request.user.has_perm("bridge.view_usagerecord"):
        start = figures.midnight(now)
        context |= {"today": figures.since(start), "usage_url": attention.usage_url(start)}
    return context


def health(demand: live.Demand) -> Health:
    nodes = [live.node_facts(node, demand.loads) for node in Node.objects.enabled()]
    totals = [node["total"] for node in nodes]
    return Health(
        nodes=len(nodes),
        up=sum(node["state"] == "up" for node in nodes),
        residents=sum(len(node["residents"]) for node in nodes),
        running=sum(load.in_flight for load in demand.loads),
        waiting=sum(line.waiting for line in demand.lines),
        used=sum(node["used"] for node in nodes),
        total=sum(totals) if totals and None not in totals else None,
    )

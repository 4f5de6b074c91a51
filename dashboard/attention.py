"""What needs somebody's attention, as lines that lead to the page which shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse

from bridge.models import ApiKey
from dashboard import figures
from dashboard.cells import gib
from dashboard.live import Demand
from dashboard.soon import SOON
from dashboard.tryit import TRY_ACCOUNTS
from scheduler.models import LedgerEntry, Node

MOST = 5  # lines of one kind
UNSEEN = timedelta(minutes=1)  # a node that nobody has looked at for so long has no scheduler
WAITS_S = 60.0  # a line whose first has waited so long
FULL = 0.8  # of the bound of all lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that needs attention, and the page that shows it."""

    text: str
    url: str
    tone: str = "warn"  # bad: something does not work; warn: it soon may not


def lines(request: HttpRequest, demand: Demand, now: datetime) -> list[Line]:
    """Those that the user may see, what does not work first."""
    found: list[Line] = []
    may = request.user.has_perm
    if may("scheduler.view_node"):
        found += [*_nodes(now), *_queue(demand, now)]
    if may("scheduler.view_ledgerentry"):
        found += _loads(now)
    if may("bridge.view_usagerecord"):
        found += _refused(figures.midnight(now))
    if may("bridge.view_apikey"):
        found += _keys(now, issues=may("bridge.add_apikey"))
    return sorted(found, key=lambda line: line.tone != "bad")


def _nodes(now: datetime) -> Iterator[Line]:
    nodes = list(Node.objects.enabled())
    if not nodes:
        yield Line(text="No node is added yet.", url=reverse("admin:scheduler_node_add"))
    seen = [node.last_seen_at for node in nodes if node.last_seen_at]
    if seen and now - max(seen) > UNSEEN:
        text = f"No scheduler has seen a node since {max(seen):%Y-%m-%d %H:%M} UTC: nothing is loaded."
        yield Line(text=text, url=reverse("admin:scheduler_node_changelist"), tone="bad")
    for node in nodes:
        if what := _trouble(node):
            tone = "bad" if node.state in (Node.State.DOWN, Node.State.QUARANTINED) else "warn"
            url = reverse("admin:scheduler_node_change", args=[node.pk])
            yield Line(text=f"The node {node.name} {what}", url=url, tone=tone)


def _trouble(node: Node) -> str:
    spilled = sum(held["spilled_bytes"] for held in node.scene.get("residents", ()))
    if node.state == Node.State.DOWN:
        return f"does not answer: {node.state_reason}"
    if node.state == Node.State.QUARANTINED:
        return f"is in quarantine: {node.state_reason}"
    if spilled:
        return f"has {gib(spilled)} of its residents in host memory, where they are slow."
    return "is being drained, and gets no new work." if node.draining else ""


def _queue(demand: Demand, now: datetime) -> Iterator[Line]:
    url = reverse("admin:live")
    if demand.complaint:
        yield Line(text=demand.complaint, url=url, tone="bad")
    waiting = sum(line.waiting for line in demand.lines)
    if waiting > FULL * settings.QUEUE_LIMIT:
        bound = f"{waiting} of {settings.QUEUE_LIMIT} places in line are taken"
        yield Line(text=f"{bound}: requests of low priority are refused.", url=url, tone="bad")
    for line in demand.lines[:MOST]:
        waits_s = now.timestamp() - line.since
        if waits_s > WAITS_S:
            yield Line(text=f"{line.waiting} wait for {line.model}, the first for {waits_s:.0f} s.", url=url)


def _loads(now: datetime) -> Iterator[Line]:
    """Loads that failed in the last day, by model and node."""
    tried = LedgerEntry.objects.filter(kind__in=["load", "reload"], at__gte=figures.a_day_before(now))
    failed = tried.filter(outcome="failed").values("model", "node").annotate(count=Count("id"))
    for row in failed.order_by("-count", "model")[:MOST]:
        query = urlencode({"q": row["model"], "outcome": "failed"})
        times = "failed" if row["count"] == 1 else f"failed {row['count']} times"
        yield Line(
            text=f"The load of {row['model']} on {row['node']} {times} in 24 hours.",
            url=f"{reverse('admin:scheduler_ledgerentry_changelist')}?{query}",
            tone="bad",
        )


def usage_url(start: datetime, **filters: str) -> str:
    """The list of usage records of a day."""
    day = {"at__year": start.year, "at__month": start.month, "at__day": start.day}
    return f"{reverse('admin:bridge_usagerecord_changelist')}?{urlencode(day | filters)}"


def _refused(start: datetime) -> Iterator[Line]:
    for refused in figures.refusals(start, MOST):
        yield Line(
            text=f"{refused['count']:,} refused today: {refused['reason'] or 'no reason kept'}",
            url=usage_url(start, outcome__exact="refused", reason=refused["reason"]),
        )


def _keys(now: datetime, *, issues: bool) -> Iterator[Line]:
    """Keys that end soon, keys that cannot be verified here, and no key at all."""
    if issues and not ApiKey.objects.exists():
        yield Line(text="No key is issued yet: apps need one.", url=reverse("admin:bridge_apikey_add"))
    lost = ApiKey.objects.unverifiable().order_by("name")[:MOST]
    asked = ApiKey.objects.expiring(now, SOON).exclude(account__startswith=TRY_ACCOUNTS)
    ending = asked.order_by("expires_at")[:MOST]
    told = [(key, "was made with a pepper that is not set here: nobody can use it", "bad") for key in lost]
    told += [(key, f"expires on {key.expires_at:%Y-%m-%d}", "warn") for key in ending]
    for key, what, tone in told:
        url = reverse("admin:bridge_apikey_change", args=[key.pk])
        yield Line(text=f"The key {key.name} {what}", url=url, tone=tone)

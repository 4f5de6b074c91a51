"""The pages behind /admin/live/: the page, its figures for browsers without WebSocket, and its buttons."""

from __future__ import annotations

from datetime import timedelta

from asgiref.sync import async_to_sync
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dashboard import live, timeline
from dashboard.filing import file_request
from dashboard.live import may_operate, may_watch
from scheduler.models import CatalogModel

KINDS = frozenset({"load", "evict", "pin", "unpin", "drain", "undrain", "cancel"})


@require_GET
def page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    if not may_watch(request.user):
        raise PermissionDenied
    context = {
        **site.each_context(request),
        "title": "Live",
        "operates": may_operate(request.user),
        "models": CatalogModel.objects.filter(enabled=True).order_by("name").values_list("name", flat=True),
    }
    return TemplateResponse(request, "admin/live.html", context)


@require_GET
def figures(request: HttpRequest) -> HttpResponse:
    if not may_watch(request.user):
        raise PermissionDenied
    seen = async_to_sync(live.demand)()
    reply = JsonResponse(live.snapshot_of(seen, *live.rows(seen)))
    reply["Cache-Control"] = "no-store"
    return reply


@require_GET
def timeline_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Residents of the last hours by node, with a table beside the picture."""
    if not request.user.has_perm("scheduler.view_ledgerentry"):
        raise PermissionDenied
    asked = request.GET.get("hours", "")
    hours = int(asked) if asked in map(str, timeline.HOURS) else timeline.HOURS[-1]
    now = timezone.now()
    start = now - timedelta(hours=hours)
    entries, resident = timeline.rows(hours, now)
    stays = timeline.spans(entries, resident, start, now)
    context = {
        **site.each_context(request),
        "title": "Timeline",
        "hours": hours,
        "choices": timeline.HOURS,
        "start": start,
        "now": now,
        "entries": entries,
        "cut": len(entries) == timeline.MOST_ENTRIES,
        "stays": stays,
        "pictures": timeline.pictures(stays, start, now),
    }
    return TemplateResponse(request, "admin/timeline.html", context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """File a request for the scheduler (a cancellation: for the bridges), and say what was filed."""
    if not may_operate(request.user):
        return JsonResponse({"error": "You may look, but not ask the scheduler for anything."}, status=403)
    kind, node, model, about = (request.POST.get(name, "") for name in ("kind", "node", "model", "request"))
    if kind not in KINDS:
        return JsonResponse({"error": f"There is no {kind!r} to ask for."}, status=400)
    if kind == "cancel" and not about:
        return JsonResponse({"error": "Say which request is to be cancelled."}, status=400)
    try:
        asked = file_request(request, kind, node, model, request_id=about)
    except ValidationError as error:
        return JsonResponse({"error": " ".join(error.messages)}, status=400)
    whom = "the bridge that holds it" if about else "the scheduler"
    return JsonResponse({"told": f"Asked of {whom}: {asked}."})

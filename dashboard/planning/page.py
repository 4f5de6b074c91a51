"""The pages behind /admin/plan/: ask, follow, cancel, read the answer."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from bridge.models import Actor, AuditEvent
from dashboard.planning.form import FIGURES, PlanForm
from dashboard.planning.launch import launch
from scheduler.models import GpuType, PlanRun

LISTED = 20
NAMES = dict(FIGURES)
IDENTITY = ("gpu", "nodes", "policy")


def may_plan(request: HttpRequest) -> bool:
    return request.user.has_perm("scheduler.add_planrun")


def _checked(request: HttpRequest) -> None:
    if not may_plan(request):
        raise PermissionDenied


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The form, and the plans so far."""
    _checked(request)
    form = PlanForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _open(_ask(request, form))
        except ValidationError as error:
            form.add_error(None, error)
    context = {
        **site.each_context(request),
        "title": "Plan a fleet",
        "form": form,
        "runs": PlanRun.objects.without_traces()[:LISTED],
        "types": GpuType.objects.enabled().count(),
    }
    return TemplateResponse(request, "admin/plan.html", context)


def _ask(request: HttpRequest, form: PlanForm) -> PlanRun:
    """File the run, tell the audit log, and have it carried out. Raises ValidationError."""
    traffic, actor = form.traffic(), Actor.at_admin(request)
    with transaction.atomic():
        run = PlanRun.objects.ask(
            asked_by=actor.name,
            source=traffic.source,
            question=form.question(),
            trace=traffic.trace,
            sizes=traffic.sizes,
        )
        facts = {"source": run.source, **{k: v for k, v in run.question.items() if k != "kinds"}}
        AuditEvent.objects.record(
            actor, "plan.add", kind="plan", target=str(run.pk), name=run.source, after=facts
        )
    launch()
    return run


def _open(run: PlanRun) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:plan_run", args=[run.pk]))


@require_GET
def one(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """How far a plan is, or its answer."""
    _checked(request)
    _looked_after()
    run = get_object_or_404(PlanRun.objects.defer("trace", "sizes"), pk=pk)
    context = {
        **site.each_context(request),
        "title": f"Plan for {run.source}",
        "run": run,
        "targets": [(NAMES.get(figure, figure), s) for figure, s in run.question["targets"].items()],
        "fleets": (fleets := _fleets(run)),
        "best": next((fleet for fleet in fleets if fleet["best"]), None),
    }
    return TemplateResponse(request, "admin/plan_run.html", context)


def _fleets(run: PlanRun) -> list[dict[str, Any]]:
    """The answer's fleets for the table, the best marked."""
    answer = run.answer or {}
    best = answer.get("best") or {}
    chosen = [best.get(name) for name in IDENTITY]
    return [
        fleet
        | {
            "best": [fleet[name] for name in IDENTITY] == chosen,
            "cold": f"{fleet['cold_share']:.1%}",
            "busy": f"{fleet['utilisation']:.0%}",
        }
        for fleet in answer.get("fleets", ())
    ]


@require_GET
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """What a page that is open asks for once a second."""
    _checked(request)
    _looked_after()
    run = get_object_or_404(PlanRun.objects.without_traces(), pk=pk)
    facts = {"state": run.state, "shown": run.get_state_display(), "over": run.is_over}
    reply = JsonResponse(facts | {"done": run.done, "expected": run.expected, "said": run.said})
    reply["Cache-Control"] = "no-store"
    return reply


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    _checked(request)
    run = get_object_or_404(PlanRun.objects.without_traces(), pk=pk)
    if not run.is_over:
        with transaction.atomic():
            run.stop()
            AuditEvent.objects.record(
                Actor.at_admin(request), "plan.cancel", kind="plan", target=str(run.pk), name=run.source
            )
    return _open(run)


def _looked_after() -> None:
    """Plans whose process is gone have failed; those that wait get one."""
    PlanRun.objects.give_up_lost(timezone.now())
    if PlanRun.objects.filter(state=PlanRun.State.WAITING).exists():
        launch()

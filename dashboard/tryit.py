"""The page that tries a model: a prompt in, the stream as an app would get it.

The browser asks the API itself, with a key that is made for it: short-lived, for chat alone, with small
limits, in the operator's name. So what is tried meets the same admission, line and accounting as any app,
and the audit log and the usage records tell who it was. The key's text lives in the page's memory only.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from bridge.models import Actor, ApiKey, Scope
from scheduler.models import CatalogModel

LASTS = timedelta(minutes=10)
TRY_ACCOUNTS = "~"  # how the accounts of this page's keys begin
MOST_KEYS = 20  # for one person within LASTS
LIMITS = {"requests_per_minute": 30, "parallel": 2, "budget_tokens_day": 500_000}


def may_try(request: HttpRequest) -> bool:
    """Who may ask the scheduler for loads, or hand out keys, may cause a request too."""
    return request.user.has_perm("scheduler.add_operatorrequest") or request.user.has_perm(
        "bridge.add_apikey"
    )


@require_GET
def page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    if not may_try(request):
        raise PermissionDenied
    models = [
        model.name
        for model in CatalogModel.objects.enabled().filter(copies__isnull=False).distinct().order_by("name")
        if not model.is_embedding_only
    ]
    asked = request.GET.get("model", "")
    context = {
        **site.each_context(request),
        "title": "Try a model",
        "models": models,
        "chosen": asked if asked in models else "",
        "minutes": LASTS // timedelta(minutes=1),
    }
    return TemplateResponse(request, "admin/try.html", context)


@require_POST
def key(request: HttpRequest) -> HttpResponse:
    """Make the page's key: its text, and the seconds that it lasts."""
    if not may_try(request):
        return JsonResponse({"error": "You may look, but not send requests."}, status=403)
    assert isinstance(request.user, User)
    account, now = account_of(request.user), timezone.now()
    if ApiKey.objects.filter(account=account, created_at__gt=now - LASTS).count() >= MOST_KEYS:
        return JsonResponse({"error": "This page made too many keys. Wait some minutes."}, status=429)
    _, text = ApiKey.objects.issue(
        actor=Actor.at_admin(request),
        name=f"try page of {request.user.get_username()}"[:100],
        owner=request.user.get_username()[:100],
        account=account,
        scopes=[Scope.CHAT.value],
        expires_at=now + LASTS,
        **LIMITS,
    )
    reply = JsonResponse({"key": text, "lasts_s": LASTS.total_seconds()})
    reply["Cache-Control"] = "no-store"
    return reply


def account_of(user: User) -> str:
    """All of a person's keys for this page draw on one budget. No public id begins so."""
    return f"{TRY_ACCOUNTS}{user.pk:07x}"[:8]

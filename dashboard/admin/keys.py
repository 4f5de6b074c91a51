from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from bridge.models import Actor, ApiKey, KeyRefused, State
from dashboard import figures
from dashboard.admin.keycolumns import KeyColumns
from dashboard.admin.keyfilters import StateFilter, UseFilter
from dashboard.admin.keyform import KeyForm, NewKeyForm, RevokeForm, RotateForm, new_mark
from dashboard.admin.titled import TitledAdmin
from dashboard.firstuse import bridge_url, example_model
from dashboard.snippets import PLACEHOLDER, snippets

WHO = ("Who", {"fields": ["name", ("owner", "team")]})
RIGHTS = ("May", {"fields": ["scopes", "allowed_models", "allowed_cidrs", "certificate", "expires_at"]})
LIMITS = (
    "Limits",
    {
        "fields": ["priority", ("requests_per_minute", "tokens_per_minute", "parallel")],
        "description": "Empty: no limit.",
    },
)
BUDGETS = (
    "Budgets",
    {
        "classes": ["collapse"],
        "fields": [
            ("budget_tokens_day", "budget_tokens_month", "budget_tokens_total"),
            ("budget_money_day", "budget_money_month", "budget_money_total"),
        ],
        "description": "Empty: no budget. A rotated key and its successor draw on the same budgets."
        " Budgets in money are kept here, and are not enforced yet.",
    },
)
ABOUT = ("About", {"fields": [("shown_id", "shown_state"), ("created_at", "used"), "kin"]})


@admin.register(ApiKey)
class ApiKeyAdmin(KeyColumns, TitledAdmin):
    form = KeyForm
    list_display = ("shown_name", "standing", "whose", "may", "limits", "used")
    list_filter = (StateFilter, UseFilter, "priority", "team")
    search_fields = ("name", "owner", "team", "=public_id")
    search_help_text = "Name, owner, team, or the id: the eight characters after obk_. Never the key itself."
    readonly_fields = ("shown_id", "shown_state", "created_at", "used", "kin")
    list_per_page = 50
    actions = ("revoke_selected",)

    # Who may what. A key is revoked, never deleted: its usage and its audit trail stay readable.

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        over = obj is not None and obj.state() in (State.REVOKED, State.REPLACED)
        return super().has_change_permission(request, obj) and not over

    # The pages.

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return super().get_form(request, obj, change, form=(KeyForm if change else NewKeyForm), **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return [(WHO[0], {"fields": [*WHO[1]["fields"], "mark"]}), RIGHTS, LIMITS, BUDGETS]
        if not self.has_change_permission(request, obj):
            lists = ["scope_list", "model_list", "network_list", "expires_at"]
            return [ABOUT, WHO, ("May", {"fields": lists}), LIMITS, BUDGETS]
        return [ABOUT, WHO, RIGHTS, LIMITS, BUDGETS]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return (*self.readonly_fields, "scope_list", "model_list", "network_list") if obj else ()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<path:object_id>/rotate/", wrap(self.rotate_view), name="bridge_apikey_rotate"),
            path("<path:object_id>/revoke/", wrap(self.revoke_view), name="bridge_apikey_revoke"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        key = self.get_object(request, unquote(object_id))
        extra = {} if key is None else self._beside(request, key)
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))

    def _beside(self, request: HttpRequest, key: ApiKey) -> dict[str, Any]:
        """What the page of a key shows beside its form."""
        may_change = super().has_change_permission(request)
        return {
            "may_rotate": may_change and key.state() == State.ACTIVE,
            "may_revoke": may_change and key.state() != State.REVOKED,
            "usage": figures.since(figures.a_day_before(timezone.now()), key=key.public_id),
            "snippets": self._snippets(request, key, PLACEHOLDER) if key.state().works else [],
            "show_save_and_add_another": False,
        }

    def _snippets(self, request: HttpRequest, key: ApiKey, text: str) -> Any:
        return snippets(url=bridge_url(request), key=text, model=example_model(key), scopes=key.scopes)

    # Issuing. The text of a key lives in the one response to the form that made it, and nowhere else: no
    # redirect carries it, so that neither a URL, nor the session, nor a message ever holds it.

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save_changes(Actor.at_admin(request))
        else:
            request.issued = obj.issue(Actor.at_admin(request))  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        return self._issued(request, obj, request.issued)  # type: ignore[attr-defined]

    def _issued(self, request: HttpRequest, key: ApiKey, token: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key for {key.name}",
            "opts": self.opts,
            "key": key,
            "token": token,
            "snippets": self._snippets(request, key, token),
        }
        return TemplateResponse(request, "admin/bridge/apikey/issued.html", context)

    # Rotating and revoking.

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._changeable(request, object_id)
        form = RotateForm(request.POST or None, initial={"mark": new_mark()})
        if form.is_valid():
            return self._rotate(request, key, form)
        return self._ask(request, key, form, "Rotate", "rotate.html")

    def _rotate(self, request: HttpRequest, key: ApiKey, form: RotateForm) -> HttpResponse:
        grace, public_id = timedelta(hours=form.cleaned_data["grace"]), form.cleaned_data["mark"]
        try:
            heir, token = key.rotate(Actor.at_admin(request), grace, public_id=public_id)
        except KeyRefused as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:bridge_apikey_change", key.pk)
        self.log_change(request, key, f"Rotated: {heir.masked} replaces it.")
        self.log_addition(request, heir, f"Issued in place of {key.masked}.")
        return self._issued(request, heir, token)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._changeable(request, object_id)
        form = RevokeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._revoke(request, [key], form.cleaned_data["reason"])
            return redirect("admin:bridge_apikey_change", key.pk)
        return self._ask(request, key, form, "Revoke", "revoke.html")

    @admin.action(description="Revoke selected keys", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(queryset.filter(revoked_at=None))
        form = RevokeForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            self._revoke(request, keys, form.cleaned_data["reason"])
            return None
        if not keys:
            self.message_user(request, "These keys were revoked before.", messages.WARNING)
            return None
        return self._ask(request, None, form, "Revoke", "revoke.html", keys=keys)

    def _revoke(self, request: HttpRequest, keys: list[ApiKey], reason: str) -> None:
        revoked = [key for key in keys if key.revoke(Actor.at_admin(request), reason)]
        for key in revoked:
            self.log_change(request, key, "Revoked.")
        names = ", ".join(str(key) for key in revoked[:5]) + (" …" if len(revoked) > 5 else "")
        told = (
            f"Revoked: {names}. Every process refuses it within a second."
            if revoked
            else "Was revoked before."
        )
        self.message_user(request, told, messages.SUCCESS if revoked else messages.WARNING)

    def _changeable(self, request: HttpRequest, object_id: str) -> ApiKey:
        if not super().has_change_permission(request):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404("There is no such key.")
        return cast("ApiKey", key)

    def _ask(
        self, request: HttpRequest, key: ApiKey | None, form: Any, what: str, template: str, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{what} {key}" if key else f"{what} {len(more['keys'])} keys",
            "opts": self.opts,
            "key": key,
            "form": form,
            **more,
        }
        return TemplateResponse(request, f"admin/bridge/apikey/{template}", context)

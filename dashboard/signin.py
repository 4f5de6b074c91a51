"""Second factors and single sign-on for the admin, by django-allauth: an extra (requirements/sso.txt).

Used only where BRIDGE_MFA or BRIDGE_OIDC_URL is set. Nobody signs up here: accounts are made by operators, or
by the first sign-on of a person to whom the provider's groups give a role.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.account.decorators import secure_admin_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.signals import social_account_added, social_account_updated
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from bridge.models import Actor, AuditEvent

RECENT_S = 300


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Who gave the password a moment ago, on the way in, need not give it again."""
        records = get_authentication_records(self.request, self.request.user)
        return not any(r["method"] == "password" and time.time() - r["at"] < RECENT_S for r in records)


class RoleAdapter(DefaultSocialAccountAdapter):
    """Lets in whoever the provider's groups give a role to."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if not roles_of(sociallogin.account.extra_data):
            page = {"claim": settings.OIDC_CLAIM, "provider": settings.OIDC_NAME}
            raise ImmediateHttpResponse(render(request, "dashboard/no_role.html", page, status=403))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True  # pre_social_login has judged it

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        give_roles(request, user, roles_of(sociallogin.account.extra_data))
        return user


@receiver([social_account_added, social_account_updated])
def _signed_on(request: HttpRequest, sociallogin: Any, **kwargs: Any) -> None:
    """Who comes again gets what the provider's groups give now."""
    give_roles(request, sociallogin.user, roles_of(sociallogin.account.extra_data))


def roles_of(data: Mapping[str, Any]) -> set[str]:
    """The names of the groups that a provider's answer gives a person here."""
    claims = [data.get("userinfo") or {}, data.get("id_token") or {}]
    found: Any = next((claim[settings.OIDC_CLAIM] for claim in claims if settings.OIDC_CLAIM in claim), [])
    theirs = {found} if isinstance(found, str) else set(map(str, found))
    return {role for name, role in settings.OIDC_ROLES.items() if name in theirs}


def give_roles(request: HttpRequest, user: User, roles: Collection[str]) -> None:
    """Make the person's groups those, and write a change into the audit log. Superusers are left alone."""
    before = sorted(user.groups.values_list("name", flat=True))
    after = sorted(Group.objects.filter(name__in=roles).values_list("name", flat=True))
    if user.is_superuser or (before == after and user.is_staff):
        return
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    user.groups.set(Group.objects.filter(name__in=after))
    AuditEvent.objects.record(
        Actor(name=user.get_username(), source=Actor.at_admin(request).source),
        "user.signon",
        kind="user",
        target=user.get_username()[:64],
        name=user.get_username(),
        before={"groups": before},
        after={"groups": after},
    )


def guarded(login: Callable[..., Any]) -> Callable[..., Any]:
    """The admin's sign-in by way of allauth's, which asks for the second factor."""
    wrapped: Callable[..., Any] = secure_admin_login(login)  # type: ignore[no-untyped-call]
    return wrapped


class FactorAdapter(DefaultMFAAdapter):
    """Secrets of second factors lie encrypted in the database, under a key made of SECRET_KEY."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> Fernet:
    secret = hashlib.sha256(b"bridge.mfa" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(secret))


class SecondFactorMiddleware:
    """Where second factors are required, who has none sees only the page that makes one.

    Whoever came by single sign-on is left to the provider, which asks for a factor or does not.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/admin/") and self._lacks(request):
            return redirect(reverse("mfa_activate_totp"))
        return self.get_response(request)

    @staticmethod
    def _lacks(request: HttpRequest) -> bool:
        if not request.user.is_authenticated or request.path == reverse("admin:logout"):
            return False
        records = get_authentication_records(request, request.user)
        if any(record["method"] == "socialaccount" for record in records):
            return False
        return not is_mfa_enabled(request.user)

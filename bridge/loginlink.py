"""One-time login links: how the first operator gets in without a default password.

The token is Django's own for resetting passwords, under another salt: it is made from the account's last
sign-in, so using the link ends it, and it ends by itself after PASSWORD_RESET_TIMEOUT.
"""

from __future__ import annotations

from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.encoding import force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


class LoginToken(PasswordResetTokenGenerator):
    key_salt = "bridge.loginlink"


tokens = LoginToken()


def link_for(user: User, base_url: str) -> str:
    """A link that signs this user in, once."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return base_url.rstrip("/") + reverse("loginlink", args=[uid, tokens.make_token(user)])


@never_cache
@require_safe
def follow(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Sign in and go to the admin; say so plainly where the link was used or is too old."""
    user = _user(uid)
    if user is None or not user.is_active or not tokens.check_token(user, token):
        return render(request, "login_link_used.html", status=403)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("admin:index")


def _user(uid: str) -> User | None:
    try:
        pk = int(force_str(urlsafe_base64_decode(uid)))
    except (ValueError, UnicodeDecodeError):
        return None
    found = get_user_model().objects.filter(pk=pk).first()
    assert found is None or isinstance(found, User)
    return found

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def named(request: HttpRequest) -> dict[str, object]:
    """For pages: what the sign-in page calls the single sign-on ('' where there is none), and whether a
    person may add a second factor."""
    return {
        "provider_name": settings.OIDC_NAME if settings.OIDC_URL else "",
        "second_factors": settings.MFA != "off",
    }

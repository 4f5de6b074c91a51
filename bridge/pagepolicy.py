"""What a browser may do with our pages: nothing that they did not bring themselves.

They have no inline script, no inline style and nothing from other hosts, so that the policy can be strict:
text that got into a page by mistake is shown and never run. The API has no pages and passes elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # Django's admin draws some icons out of its style sheets
    "font-src": "'self'",
    "connect-src": "'self'",  # the live page's socket and figures, and the page that tries a model
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
UNUSED = ("accelerometer", "camera", "geolocation", "gyroscope", "microphone", "payment", "usb")
Answer = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


def headers() -> dict[str, str]:
    """The headers of every page, by name. Browsers hold a form to `form-action` through redirects too, and
    the one that begins a single sign-on is redirected to the issuer."""
    policy = dict(POLICY)
    if settings.OIDC_URL:
        issuer = urlsplit(settings.OIDC_URL)
        policy["form-action"] += f" {issuer.scheme}://{issuer.netloc}"
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED),
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class PagePolicyMiddleware:
    """Adds the headers. Both sync and async by itself, so that it costs no hop to a thread."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self._headers = headers()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        response = self.get_response(request)
        if isinstance(response, HttpResponseBase):
            return self._with_headers(response)
        return self._later(response)

    async def _later(self, response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        return self._with_headers(await response)

    def _with_headers(self, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        return response

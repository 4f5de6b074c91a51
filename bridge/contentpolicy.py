"""What a page of the admin may embed, be embedded in, and send forms to."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

# Scripts are not restricted here: Django's admin and htmx put event handlers into their markup.
POLICY = "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"


class ContentPolicyMiddleware(MiddlewareMixin):
    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

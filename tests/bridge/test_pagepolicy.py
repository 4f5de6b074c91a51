from __future__ import annotations

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import Client

from bridge.pagepolicy import PagePolicyMiddleware


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/docs", "/admin/login/", "/openapi.json", "/login/x/y/"])
def test_pages_may_use_nothing_but_their_own_files(path: str) -> None:
    headers = Client().get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.asyncio
async def test_in_an_async_chain_it_stays_async() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("seen")

    middleware = PagePolicyMiddleware(view)
    assert iscoroutinefunction(middleware)
    answered = middleware(HttpRequest())
    assert not isinstance(answered, HttpResponse)
    assert "Content-Security-Policy" in (await answered).headers


def test_a_page_that_sets_its_own_policy_keeps_it() -> None:
    own = HttpResponse(headers={"Content-Security-Policy": "default-src 'self'"})
    answered = PagePolicyMiddleware(lambda request: own)(HttpRequest())
    assert isinstance(answered, HttpResponse)
    assert answered.headers["Content-Security-Policy"] == "default-src 'self'"

"""Single sign-on and second factors, in Chromium, with an issuer of our own."""

from __future__ import annotations

import base64
import hmac
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.issuer import CLIENT, SECRET, Issuer
from tests.browser.visit import DESK, PHONE, WATCH, Visit, visit
from tests.serving import Bridge, copied

pytestmark = pytest.mark.browser
PERSON = {"sub": "1", "preferred_username": "olga", "email": "olga@example.com", "groups": ["llm-ops"]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def bridge(issuer: Issuer, empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """With both extras on; it has the superuser root."""
    env = {
        "BRIDGE_OIDC_URL": issuer.url,
        "BRIDGE_OIDC_CLIENT_ID": CLIENT,
        "BRIDGE_OIDC_CLIENT_SECRET": SECRET,
        "BRIDGE_OIDC_NAME": "Example ID",
        "BRIDGE_OIDC_ROLES": "llm-ops=Operator,llm-keys=Key manager",
        "BRIDGE_MFA": "required",
        "DJANGO_SUPERUSER_PASSWORD": "root",
    }
    made = Bridge(copied(empty_data, tmp_path_factory.mktemp("signin") / "data"), nodes=[], **env)
    made.manage("migrate", "--verbosity", "0")
    made.manage("createsuperuser", "--noinput", "--username=root", "--email=root@example.com")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def page(browser: Browser, bridge: Bridge) -> Iterator[Page]:
    """A visitor."""
    context = browser.new_context(base_url=bridge.url, viewport=DESK, color_scheme="light")
    page = context.new_page()
    page.add_init_script(WATCH)
    yield page
    context.close()


def sign_on(page: Page, issuer: Issuer, **person: object) -> None:
    issuer.person = PERSON | person
    page.goto("/admin/")
    page.click("text=Sign in with Example ID")


def test_whoever_has_a_role_at_the_issuer_is_let_in_with_it(
    page: Page, issuer: Issuer, bridge: Bridge
) -> None:
    sign_on(page, issuer)
    expect(page).to_have_url(re.compile(r"/admin/$"))
    expect(page.locator("#user-tools")).to_contain_text("olga")
    expect(page.locator("#content-main")).to_contain_text("Nodes")
    expect(page.locator("#content-main")).not_to_contain_text("Users")
    assert page.evaluate("window.violations") == []


def test_roles_follow_the_issuer_at_the_next_sign_on(page: Page, issuer: Issuer) -> None:
    sign_on(page, issuer, sub="2", preferred_username="kim", groups=["llm-ops"])
    expect(page.locator("#content-main")).to_contain_text("Pinning policies")
    page.context.clear_cookies()
    sign_on(page, issuer, sub="2", preferred_username="kim", groups=["llm-keys", "others"])
    expect(page.locator("#content-main")).to_contain_text("Audit events")
    expect(page.locator("#content-main")).not_to_contain_text("Pinning policies")


def test_whoever_has_no_role_is_told_so_and_gets_no_account(
    page: Page, issuer: Issuer, bridge: Bridge
) -> None:
    sign_on(page, issuer, sub="3", preferred_username="mallory", groups=["sales"])
    expect(page.locator("h1")).to_contain_text("have no role here")
    page.goto("/admin/")
    expect(page).to_have_url(re.compile(r"/accounts/login/"))
    users = "from django.contrib.auth.models import User; print([u.username for u in User.objects.all()])"
    assert "mallory" not in bridge.manage("shell", "-c", users)


def test_nobody_signs_up_and_a_password_alone_does_not_do(page: Page) -> None:
    page.goto("/accounts/signup/")
    expect(page.locator("#content")).to_contain_text("closed")
    page.goto("/admin/")
    page.fill("#id_login", "root")
    page.fill("#id_password", "root")
    page.click("input[value='Sign in']")
    expect(page).to_have_url(re.compile(r"/accounts/2fa/totp/activate/"))
    page.goto("/admin/")
    expect(page).to_have_url(re.compile(r"/accounts/2fa/totp/activate/"))
    assert visit(page) == Visit(violations=[], grave=[], phone_width=PHONE["width"])
    secret = page.input_value("#authenticator_secret")
    page.fill("#id_code", code(secret))
    page.click("button[type=submit]")
    page.goto("/admin/")
    expect(page.locator("#user-tools")).to_contain_text("root")
    page.context.clear_cookies()
    page.goto("/admin/")
    page.fill("#id_login", "root")
    page.fill("#id_password", "root")
    page.click("input[value='Sign in']")
    expect(page).to_have_url(re.compile(r"/accounts/2fa/authenticate/"))


def code(secret: str) -> str:
    """What an authenticator app shows now (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(secret), counter, "sha1").digest()
    (number,) = struct.unpack(">I", digest[(start := digest[-1] & 15) : start + 4])
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


def test_the_sign_in_page_is_as_good_as_the_others(page: Page) -> None:
    page.goto("/admin/")
    assert visit(page) == Visit(violations=[], grave=[], phone_width=PHONE["width"])

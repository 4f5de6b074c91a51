"""What holds for every page of the admin and for /docs: one walk through them, looked at in several ways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.crawl import crawl
from tests.browser.seeds import seed
from tests.browser.visit import DESK, PHONE, WATCH, Visit, visit
from tests.serving import Bridge

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def visits(browser: Browser, bridge: Bridge) -> dict[str, Visit]:
    """By path: one page of each kind."""
    seed(bridge)
    context = browser.new_context(base_url=bridge.url, viewport=DESK, color_scheme="light")
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto("/admin/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "root")
    page.click("input[type=submit]")
    found = {path: visit(page) for path in crawl(page)}
    context.close()
    return found


def test_the_walk_reaches_every_kind_of_page(visits: dict[str, Visit]) -> None:
    assert len(visits) > 40
    assert {"/admin/live/", "/admin/timeline/", "/admin/try/", "/docs"} <= set(visits)


def test_no_page_breaks_its_content_security_policy(visits: dict[str, Visit]) -> None:
    assert {path: seen.violations for path, seen in visits.items() if seen.violations} == {}


def test_no_page_has_a_serious_obstacle_for_who_cannot_see_or_point(visits: dict[str, Visit]) -> None:
    assert {path: seen.grave for path, seen in visits.items() if seen.grave} == {}


def test_every_page_fits_a_phone(visits: dict[str, Visit]) -> None:
    assert {
        path: seen.phone_width for path, seen in visits.items() if seen.phone_width > PHONE["width"]
    } == {}


@pytest.fixture
def visitor(browser: Browser, bridge: Bridge) -> Iterator[Page]:
    """Who is not signed in."""
    context = browser.new_context(base_url=bridge.url, viewport=DESK, color_scheme="light")
    page = context.new_page()
    page.add_init_script(WATCH)
    yield page
    context.close()


def test_the_sign_in_page_is_like_the_others(visitor: Page) -> None:
    reply = visitor.goto("/admin/")
    assert reply is not None
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert visit(visitor) == Visit(violations=[], grave=[], phone_width=PHONE["width"])


STYLED = """() => new Promise(done => {
  document.addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
  document.body.insertAdjacentHTML("beforeend", '<p style="color: red"><img src="/static/x.png">');
})"""


def test_the_browser_enforces_the_policy_and_axe_finds_faults(visitor: Page) -> None:
    """The tests above could not fail otherwise."""
    visitor.goto("/docs")
    assert str(visitor.evaluate(STYLED)).startswith("style-src")
    seen = visit(visitor)
    assert seen.violations
    assert any(found.startswith("image-alt") for found in seen.grave)

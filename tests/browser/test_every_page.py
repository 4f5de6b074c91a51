"""What holds for every page of the admin and for /docs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.crawl import crawl
from tests.browser.seeds import seed
from tests.serving import Bridge

pytestmark = pytest.mark.browser
WATCH = """window.violations = [];
document.addEventListener("securitypolicyviolation",
    event => window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));"""


@pytest.fixture(scope="module", autouse=True)
def _seeded(bridge: Bridge) -> None:
    seed(bridge)


def test_no_page_breaks_its_content_security_policy(page: Page) -> None:
    page.add_init_script(WATCH)
    broken = {path: found for path in crawl(page) if (found := page.evaluate("window.violations"))}
    assert broken == {}


STYLED = """() => new Promise(done => {
  document.addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
  document.body.insertAdjacentHTML("beforeend", '<p style="color: red">');
})"""


def test_the_browser_enforces_the_policy(browser: Browser, bridge: Bridge) -> None:
    """The test above could not fail otherwise."""
    context = browser.new_context(base_url=bridge.url)
    page = context.new_page()
    page.goto("/docs")
    assert str(page.evaluate(STYLED)).startswith("style-src")
    context.close()


def test_a_visitor_sees_the_sign_in_page_under_the_same_policy(browser: Browser, bridge: Bridge) -> None:
    context = browser.new_context(base_url=bridge.url)
    page = context.new_page()
    page.add_init_script(WATCH)
    reply = page.goto("/admin/")
    assert reply is not None
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert page.evaluate("window.violations") == []
    context.close()

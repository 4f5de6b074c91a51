from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, expect

from tests.serving import Bridge

pytestmark = pytest.mark.browser
ADD = "/admin/bridge/apikey/add/"


def issue(page: Page, name: str) -> str:
    """Issue a key by the form; its text."""
    page.goto(ADD)
    page.fill("#id_name", name)
    page.click("text=Issue the key")
    return page.inner_text("#token")


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_a_key_and_its_snippets_are_copied_by_their_buttons(page: Page) -> None:
    token = issue(page, "copied")
    page.click("[aria-label='Copy the key']")
    expect(page.locator("[aria-label='Copy the key']")).to_have_text("Copied")
    assert clipboard(page) == token
    page.click("[aria-label='Copy the curl snippet']")
    expect(page.locator("[aria-label='Copy the curl snippet']")).to_have_text("Copied")
    assert f"Authorization: Bearer {token}" in clipboard(page)
    assert page.url not in clipboard(page)


def test_where_the_clipboard_is_closed_the_older_way_copies(page: Page) -> None:
    token = issue(page, "closed")
    page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page.click("[aria-label='Copy the key']")
    expect(page.locator("[aria-label='Copy the key']")).to_have_text("Copied")
    assert clipboard(page) == token


@pytest.mark.parametrize("client", ["openai", "anthropic", "ollama"])
def test_the_snippet_for_a_client_runs_as_it_is(page: Page, client: str) -> None:
    issue(page, f"runs {client}")
    snippet = page.inner_text(f"#snippet-{client}")
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_key_works_once_it_is_shown_and_no_longer_once_it_is_revoked(page: Page, bridge: Bridge) -> None:
    token = issue(page, "short-lived")
    bridge.until(lambda: bridge.get("/v1/models", token).status_code == 200, within_s=1.0)
    page.click("text=I have copied it")
    page.click(".object-tools >> text=Revoke")
    page.click("input[value='Revoke the key']")
    bridge.until(lambda: bridge.get("/v1/models", token).status_code == 401, within_s=1.0)
    assert "was revoked" in bridge.get("/v1/models", token).text
    assert token[13:] not in bridge.log.read_text()


def test_going_back_does_not_show_the_key_again(page: Page) -> None:
    token = issue(page, "gone")
    page.click("text=I have copied it")
    assert token not in page.content()
    with suppress(Error):  # Chromium refuses to show an answer again that was not to be kept
        page.go_back()
    page.wait_for_url("chrome-error://**")


def test_a_key_is_rotated_and_revoked_by_keyboard(page: Page) -> None:
    old = issue(page, "keyboard")
    page.click("text=I have copied it")
    page.focus("text=Rotate")
    page.keyboard.press("Enter")
    page.focus("input[value='Rotate the key']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token")
    assert page.inner_text("#token") != old
    page.click("text=I have copied it")
    page.focus(".object-tools >> text=Revoke")
    page.keyboard.press("Enter")
    page.fill("#id_reason", "tried")
    page.keyboard.press("Enter")
    page.wait_for_selector(".messagelist .success")
    assert page.inner_text(".field-shown_state .badge") == "revoked"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    issue(page, "a name that is rather long for a phone " * 2)
    urls = ["/admin/", ADD, *(f"/admin/bridge/{name}/" for name in ("apikey", "usagerecord", "auditevent"))]
    widths = {"issued": page.evaluate("document.documentElement.scrollWidth")}
    for url in urls:
        page.goto(url)
        widths[url] = page.evaluate("document.documentElement.scrollWidth")
    assert {url: width for url, width in widths.items() if width > 390} == {}


def test_every_control_of_the_key_form_has_a_label(page: Page) -> None:
    page.goto(ADD)
    unnamed = page.evaluate(
        """() => [...document.querySelector("#apikey_form").elements]
            .filter(control => !["hidden", "submit", "fieldset"].includes(control.type))
            .filter(control => !control.labels?.length && !control.ariaLabel)
            .map(control => control.name)"""
    )
    assert unnamed == []


def test_the_start_page_leads_to_the_keys(page: Page) -> None:
    page.goto("/admin/")
    page.click("#content-main >> text=API keys")
    expect(page).to_have_url(re.compile(r"/admin/bridge/apikey/$"))
    assert page.inner_text("#content h1") == "API keys"

"""The live page in Chromium: loads appear, buttons ask, hidden tabs are silent, phones fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.simulator.process import NodeProcess
from tests.serving import Bridge

pytestmark = pytest.mark.browser
MODEL = "llama3.2:latest"


@pytest.fixture(scope="module")
def key(bridge: Bridge) -> str:
    bridge.manage("synccatalog")
    return bridge.key("live")


@pytest.fixture
def live(page: Page, key: str) -> Page:
    page.goto("/admin/live/")
    expect(page.locator("#live-age")).to_contain_text("Up to date.")
    return page


def chat(bridge: Bridge, key: str) -> None:
    hello = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": False}
    with bridge.client(key) as client:
        bridge.until(lambda: client.post("/api/chat", json=hello).status_code == 200)


def confirm(page: Page, whom: str = "the scheduler") -> None:
    page.click("#live-yes")
    expect(page.locator("#live-told")).to_contain_text(f"Asked of {whom}")


def test_a_load_appears_and_a_button_evicts_it(live: Page, bridge: Bridge, key: str) -> None:
    chat(bridge, key)
    row = live.locator(".node tbody tr", has_text=MODEL)
    expect(row).to_contain_text("0 of 1")
    expect(live.locator(".bar > span", has_text=MODEL)).to_be_visible()
    row.get_by_role("button", name=f"Evict {MODEL} on 127.0.0.1").click()
    expect(live.locator("#live-question")).to_contain_text(f"Evict {MODEL} from 127.0.0.1?")
    confirm(live)
    expect(row).to_have_count(0)
    expect(live.locator("#live-decisions tr").first).to_contain_text("operator")
    assert "model.evict" in bridge.manage("shell", "-c", AUDITED)


AUDITED = "from bridge.models import AuditEvent; print([e.action for e in AuditEvent.objects.all()])"


def test_what_is_cancelled_is_not_asked(live: Page, bridge: Bridge, key: str) -> None:
    chat(bridge, key)
    row = live.locator(".node tbody tr", has_text=MODEL)
    row.get_by_role("button", name="Evict").click()
    live.keyboard.press("Escape")
    expect(live.locator("#live-confirm")).to_be_hidden()
    expect(live.locator("#live-told")).to_be_hidden()
    expect(row).to_be_visible()


def test_a_model_is_pinned_and_unpinned(live: Page, bridge: Bridge, key: str) -> None:
    chat(bridge, key)
    row = live.locator(".node tbody tr", has_text=MODEL)
    row.get_by_role("button", name="Pin", exact=False).first.click()
    confirm(live)
    expect(row).to_contain_text("pinned")
    expect(row.get_by_role("button", name="Evict")).to_have_count(0)
    row.get_by_role("button", name="Unpin").click()
    confirm(live)
    expect(row.get_by_role("button", name="Evict")).to_be_visible()


def test_a_model_is_loaded_by_the_form(live: Page) -> None:
    live.select_option("#live-model", MODEL)
    live.select_option("#live-where", "127.0.0.1")
    live.click("#live-load button")
    expect(live.locator("#live-question")).to_contain_text(f"Load {MODEL} on 127.0.0.1?")
    confirm(live)
    expect(live.locator(".node tbody tr", has_text=MODEL)).to_be_visible()


def test_a_request_that_waits_is_cancelled_by_its_button(
    live: Page, bridge: Bridge, key: str, node: NodeProcess
) -> None:
    chat(bridge, key)
    node.arm("hang", count=1)
    hello = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": False}
    with ThreadPoolExecutor(2) as clients, bridge.client(key) as client:
        runs = clients.submit(client.post, "/api/chat", json=hello)
        rows = live.locator("#live-requests tr")
        expect(rows.filter(has_text="runs on 127.0.0.1")).to_have_count(1)
        waits = clients.submit(client.post, "/v1/chat/completions", json=hello)
        in_line = rows.filter(has_text="place 1 in line")
        expect(in_line).to_contain_text("live")
        expect(live.locator("#live-lines tr")).to_contain_text("not known")
        in_line.get_by_role("button", name="Cancel req_").click()
        confirm(live, "the bridge that holds it")
        reply = waits.result(30)
        assert (reply.status_code, reply.headers["x-should-retry"]) == (503, "false")
        assert "An operator cancelled this request." in reply.json()["error"]["message"]
        expect(in_line).to_have_count(0)
        rows.get_by_role("button", name="Cancel req_").click()
        live.click("#live-yes")
        assert runs.result(30).status_code == 503
    expect(live.locator("#live-no-requests")).to_be_visible()


def test_without_a_socket_the_page_polls(page: Page, key: str) -> None:
    page.add_init_script(
        "window.WebSocket = class extends EventTarget { constructor() { super(); "
        "setTimeout(() => this.dispatchEvent(new CloseEvent('close', {code: 1006})), 0); } };"
    )
    with page.expect_response("**/admin/live.json"):
        page.goto("/admin/live/")
    expect(page.locator("#live-age")).to_contain_text("Up to date.")
    expect(page.locator(".node")).to_have_count(1)


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_a_hidden_tab_hears_nothing_and_comes_back(page: Page, key: str) -> None:
    with page.expect_websocket() as first:
        page.goto("/admin/live/")
    expect(page.locator(".node")).to_have_count(1)
    with first.value.expect_event("close"):
        page.evaluate(HIDE, True)
    with page.expect_websocket():
        page.evaluate(HIDE, False)
    expect(page.locator("#live-age")).to_have_text("Up to date.")


def test_old_figures_are_grey_and_say_how_old_they_are(live: Page) -> None:
    live.evaluate(HIDE, True)
    live.evaluate("receivedAt -= 11000")
    expect(live.locator("body")).to_have_class(re.compile(r"\bold\b"))
    expect(live.locator("#live-age")).to_contain_text("Updated 1")


@pytest.fixture
def phone(browser: Browser, bridge: Bridge, key: str) -> Iterator[Page]:
    context = browser.new_context(base_url=bridge.url, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto("/admin/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "root")
    page.click("input[type=submit]")
    yield page
    context.close()


def test_the_page_fits_a_phone(phone: Page, bridge: Bridge, key: str) -> None:
    chat(bridge, key)
    phone.goto("/admin/live/")
    expect(phone.locator(".node tbody tr")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390

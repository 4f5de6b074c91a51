"""A running bridge with one fake node, and Debian's Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.serving import Bridge, copied

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    with NodeProcess("llama3.2=2", **QUICK) as node:
        yield node


@pytest.fixture(scope="module")
def bridge(node: NodeProcess, empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """It has the superuser root, with the password root."""
    data = copied(empty_data, tmp_path_factory.mktemp("browser") / "data")
    bridge = Bridge(data, nodes=[node.url], DJANGO_SUPERUSER_PASSWORD="root")
    bridge.manage("createsuperuser", "--noinput", "--username=root", "--email=root@example.com")
    try:
        yield bridge.start()
    finally:
        bridge.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file and no longer: its event loop runs in this thread until it is closed, and a test elsewhere
    that runs a loop of its own, or asks the ORM, would fail (playwright-pytest#46)."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (apt-get install chromium).")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, bridge: Bridge) -> Iterator[Page]:
    """A page where root is signed in; what the console complains of fails the test."""
    context = browser.new_context(base_url=bridge.url, permissions=["clipboard-read", "clipboard-write"])
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/admin/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "root")
    page.click("input[type=submit]")
    yield page
    context.close()
    assert complaints == []

"""A report in Chromium: narrowed by its filters, taken away as CSV, readable on a phone, without script."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.serving import Bridge

pytestmark = pytest.mark.browser
MODEL = "llama3.2:latest"


@pytest.fixture(scope="module")
def used(bridge: Bridge) -> None:
    """Two keys of two teams, each with a request that is in the sums."""
    bridge.manage("synccatalog")
    hello = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": False}
    for name, team in (("chat", "web"), ("nightly", "research")):
        with bridge.client(bridge.key(name, "--team", team)) as client:
            bridge.until(lambda client=client: client.post("/api/chat", json=hello).status_code == 200)
    told = ("report", "auth", "--from", "1h", "--csv")
    bridge.until(lambda: all(f",{name},{team},active,1" in bridge.manage(*told) for name, team in KEYS))


KEYS = (("chat", "web"), ("nightly", "research"))


def test_a_report_is_filtered_and_exported(page: Page, used: None, tmp_path: Path) -> None:
    page.goto("/admin/")
    page.locator("#content").get_by_role("link", name="Auth report", exact=True).first.click()
    keys = page.locator("section", has=page.get_by_role("heading", name="Keys by use"))
    expect(keys.locator("tbody tr")).to_have_count(2)
    expect(page.locator("figure.chart rect").first).to_be_visible()
    page.select_option("#report-team", "research")
    page.get_by_role("button", name="Show").click()
    expect(keys.locator("tbody tr")).to_have_count(1)
    expect(keys.locator("tbody")).to_contain_text("nightly")
    with page.expect_download() as download:
        keys.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "keys.csv")
    (row,) = csv.DictReader((tmp_path / "keys.csv").read_text().splitlines())
    assert (row["name"], row["team"], row["requests"]) == ("nightly", "research", "1")
    page.get_by_role("navigation", name="Reports").get_by_role("link", name="Cost").click()
    expect(page.locator("h1")).to_have_text("Cost report")
    expect(page.locator("#report-team")).to_have_value("research")  # filters go along
    expect(page.get_by_role("heading", name="Parts of the bill")).to_be_visible()


@pytest.mark.parametrize("name", ["auth", "vram", "cost"])
def test_a_report_fits_a_phone(page: Page, used: None, name: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/admin/reports/{name}/")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("main script, main [style], main [onclick]").count() == 0

"""Planning in Chromium: asked, followed while another process replays, cancelled, and read on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from scheduler.replay import synthetic
from scheduler.replay.trace import write
from tests.browser.visit import PHONE, WATCH, Visit, visit
from tests.scheduler.planning.cast import cycle

pytestmark = pytest.mark.browser
PATIENCE_MS = 60_000


def ask(page: Page, trace: Path, *, policy: str, keep: str = "") -> None:
    """Plan for an uploaded trace; `keep` is the one type of GPU that stays chosen."""
    page.goto("/admin/plan/")
    page.get_by_label("a trace from a file").check()
    page.get_by_label("Trace:").set_input_files(trace)
    page.get_by_label("Its models:").set_input_files(trace.with_name("t.models.csv"))
    page.get_by_label("Run by:").select_option(policy)
    for box in page.get_by_role("checkbox").all() if keep else []:
        box.set_checked(keep in (box.evaluate("box => box.labels[0].textContent") or ""))
    page.get_by_role("button", name="Plan", exact=True).click()


def test_a_plan_ends_with_the_cheapest_fleet_and_its_picture(page: Page, tmp_path: Path) -> None:
    page.add_init_script(WATCH)
    write(cycle(), tmp_path / "t.csv")
    ask(page, tmp_path / "t.csv", policy="bridge-plain", keep="L4:")
    expect(page.locator(".plan-best")).to_contain_text("2x L4 is the cheapest", timeout=PATIENCE_MS)
    expect(page.locator(".frontier circle.best")).to_have_count(1)
    row = page.locator(".plan-figures tbody tr", has_text="best")
    expect(row).to_contain_text("2x L4")
    assert visit(page) == Visit(violations=[], grave=[], phone_width=PHONE["width"])
    page.get_by_role("link", name="Another plan").click()
    expect(page.locator(".plan-scroll tbody tr").first).to_contain_text("2x L4, $1,037 a month")


def test_a_plan_survives_a_reload_and_can_be_cancelled(page: Page, tmp_path: Path) -> None:
    write(synthetic.pipelines(1), tmp_path / "t.csv")
    ask(page, tmp_path / "t.csv", policy="bridge")
    expect(page.locator("#plan-state")).to_have_text("running", timeout=PATIENCE_MS)
    page.reload()
    expect(page.locator("#plan-count")).to_contain_text("of at most", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("It was cancelled.")).to_be_visible(timeout=PATIENCE_MS)

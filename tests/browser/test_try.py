"""The page that tries a model, in Chromium, through the real data plane."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from scheduler.simulator.process import NodeProcess
from tests.serving import Bridge

pytestmark = pytest.mark.browser


@pytest.fixture
def ready(page: Page, bridge: Bridge) -> Page:
    bridge.manage("synccatalog")
    page.goto("/admin/try/")
    return page


def test_an_answer_streams_and_its_request_is_accounted_to_the_operator(ready: Page, bridge: Bridge) -> None:
    ready.click("#try-send")
    expect(ready.locator("#try-state")).to_have_text("Done.", timeout=20_000)
    expect(ready.locator("#try-answer")).not_to_be_empty()
    expect(ready.locator("#try-node")).to_have_text("127.0.0.1")
    expect(ready.locator("#try-first")).to_have_text(re.compile(r"^\d+ ms$"))
    record = bridge.record(ready.inner_text("#try-request"))
    assert (record["outcome"], record["key_name"]) == ("answered", "try page of root")
    ready.click("#try-request")
    expect(ready.locator("#story-title")).to_contain_text("answered")
    expect(ready.locator(".phases")).to_contain_text("Decode")


def test_what_is_stopped_is_cancelled(ready: Page, bridge: Bridge, node: NodeProcess) -> None:
    node.arm("hang", count=1, after=2)
    ready.click("#try-send")
    expect(ready.locator("#try-state")).to_have_text("The answer comes …", timeout=20_000)
    ready.click("#try-stop")
    expect(ready.locator("#try-state")).to_have_text("Stopped: the request was cancelled.")
    assert bridge.record(ready.inner_text("#try-request"))["outcome"] == "cancelled"


def test_a_failure_is_told_in_the_bridges_words(ready: Page, node: NodeProcess) -> None:
    node.arm("eof_without_done", count=1)
    ready.click("#try-send")
    expect(ready.locator("#try-state")).to_have_class("bad", timeout=20_000)
    expect(ready.locator("#try-state")).to_contain_text("end mark")

"""/docs as a reader sees it, who is not signed in."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.serving import Bridge

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_screen_and_can_be_read(
    browser: Browser, bridge: Bridge, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(f"{bridge.url}/docs")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    colours = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(*colours) > 7
    context.close()
    assert complaints == []


def test_the_fields_of_a_route_open_without_script(browser: Browser, bridge: Bridge) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{bridge.url}/docs")
    fields = page.locator("#createMessage dl")
    assert not fields.is_visible()
    page.click("#createMessage summary")
    assert fields.is_visible()
    assert "max_tokens" in fields.inner_text()
    context.close()


def contrast(text: str, ground: str) -> float:
    """WCAG's contrast ratio of two `rgb(r, g, b)`."""
    lighter, darker = sorted(map(luminance, (text, ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
    red, green, blue = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

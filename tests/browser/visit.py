"""One visit to a page: what a browser, a phone and a screen reader find wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
GRAVE = ("serious", "critical")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# Counts what the policy of the page stopped; runs before anything of the page does.
WATCH = """window.violations = [];
document.addEventListener("securitypolicyviolation",
    event => window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));"""
RUN = """async options => {
  const {violations} = await axe.run(document, {resultTypes: ["violations"], ...options});
  return violations.map(found => ({...found, at: found.nodes.slice(0, 9).map(node => node.html)}));
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    violations: list[str]  # of the Content-Security-Policy
    grave: list[str]  # what axe calls serious or critical, light and dark
    phone_width: int  # pixels that the page takes on a phone


def visit(page: Page) -> Visit:
    """Look at the page that is open."""
    violations = page.evaluate("window.violations")  # before axe, which adds style sheets of its own
    page.evaluate(AXE)
    grave = _grave(page, {"runOnly": {"type": "tag", "values": TAGS}})
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.getAnimations().forEach(each => each.finish())")  # colours fade into each other
    grave += _grave(page, {"runOnly": {"type": "rule", "values": ["color-contrast"]}}, "dark: ")
    page.set_viewport_size(PHONE)
    width = int(page.evaluate("document.documentElement.scrollWidth"))
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    return Visit(violations=violations, grave=grave, phone_width=width)


def _grave(page: Page, options: dict[str, Any], where: str = "") -> list[str]:
    found = page.evaluate(RUN, options)
    return [f"{where}{each['id']}: {each['help']}: {each['at']}" for each in found if each["impact"] in GRAVE]

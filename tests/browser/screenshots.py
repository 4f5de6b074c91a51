"""`make screenshots`: every page of the admin as a picture, light and dark, into docs/screenshots."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.demo import Demo, demo

OUT = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
PAGES = {
    "start": "/admin/",
    "live": "/admin/live/",
    "timeline": "/admin/timeline/",
    "keys": "/admin/bridge/apikey/",
    "key": "/admin/bridge/apikey/1/change/",
    "key-new": "/admin/bridge/apikey/add/",
    "usage": "/admin/bridge/usagerecord/",
    "audit": "/admin/bridge/auditevent/",
    "nodes": "/admin/scheduler/node/",
    "node": "/admin/scheduler/node/1/change/",
    "models": "/admin/scheduler/catalogmodel/",
    "model": "/admin/scheduler/catalogmodel/1/change/",
    "aliases": "/admin/scheduler/alias/",
    "pins": "/admin/scheduler/pinningpolicy/",
    "pin": "/admin/scheduler/pinningpolicy/1/change/",
    "ledger": "/admin/scheduler/ledgerentry/",
    "requests": "/admin/scheduler/operatorrequest/",
    "measurements": "/admin/scheduler/measurement/",
    "people": "/admin/auth/user/",
    "docs": "/docs",
}
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", choices=sorted(PAGES), default=sorted(PAGES))
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        demo(Path(scratch) / "data") as shown,
        chromium() as browser,
    ):
        shown.work()
        time.sleep(25)
        for scheme in SCHEMES:
            for name, path in ((name, PAGES[name]) for name in wanted.only):
                with signed_in(browser, shown, scheme, 1280) as page:
                    page.goto(path)
                    time.sleep(1.5 if name == "live" else 0)
                    page.screenshot(path=wanted.out / f"{name}-{scheme}.png", full_page=True)
        shown.rest()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def signed_in(browser: Browser, shown: Demo, scheme: Scheme, width: int) -> Iterator[Page]:
    context = browser.new_context(
        base_url=shown.bridge.url, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto("/admin/")
    page.fill("#id_username", "olga")
    page.fill("#id_password", "olga")
    page.click("input[type=submit]")
    yield page
    context.close()


if __name__ == "__main__":
    sys.exit(main())

"""`make screenshots`: the pages of a bridge in use as pictures, light and dark, into docs/screenshots."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.demo import Demo, demo

OUT = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
WARM_S = 30  # seconds of traffic before the first picture
WIDTH = 1200
COLOURS = 128  # of a picture; what a page of text and areas needs, at a third of the bytes
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A page, how much of it is shown, and what is done on it before."""

    path: str
    height: int = 760
    act: Callable[[Page], None] | None = None


def _wait_for_figures(page: Page) -> None:
    page.wait_for_selector("#live-nodes .node")
    page.wait_for_selector("#live-requests tr, #live-no-requests:not([hidden])")
    page.wait_for_timeout(1500)


def _try_it(page: Page) -> None:
    page.select_option("#try-model", "llama3.2:latest")
    page.click("#try-send")
    page.wait_for_selector("#try-figures:not([hidden])", timeout=60_000)
    page.get_by_text("Done.").wait_for(timeout=60_000)


def _preview(page: Page) -> None:
    """Pin on gpu1 what is not resident there now, so that something has to go for it."""
    (gpu1,) = [
        node for node in page.request.get("/admin/live.json").json()["nodes"] if node["name"] == "gpu1"
    ]
    there = {each["model"] for each in gpu1["residents"]}
    page.fill("#id_name", "reviews at night")
    page.fill("#id_model", next(name for name in ("gemma3:12b", "qwen3:8b") if name not in there))
    page.fill("#id_nodes", "gpu1")
    with page.expect_navigation():
        page.click("input[name=_preview]")


def _unfold(page: Page) -> None:
    page.click("details.use summary")
    page.locator("details.use").scroll_into_view_if_needed()


def _newest_cold(page: Page) -> None:
    with page.expect_navigation():
        page.click("#result_list tr:has(td:text-is('cold')) th a")


USAGE = "/admin/bridge/usagerecord/"
SHOTS = {
    "start": Shot(path="/admin/"),
    "live": Shot(path="/admin/live/", height=1500, act=_wait_for_figures),
    "timeline": Shot(path="/admin/timeline/"),
    "request": Shot(path=f"{USAGE}?model=qwen3:8b", act=_newest_cold),
    "try": Shot(path="/admin/try/", act=_try_it),
    "plan": Shot(path="/admin/plan/"),
    "report-auth": Shot(path="/admin/reports/auth/"),
    "report-vram": Shot(path="/admin/reports/vram/"),
    "report-cost": Shot(path="/admin/reports/cost/"),
    "keys": Shot(path="/admin/bridge/apikey/", height=560),
    "key": Shot(path="/admin/bridge/apikey/1/change/"),
    "key-snippets": Shot(path="/admin/bridge/apikey/1/change/", act=_unfold),
    "key-new": Shot(path="/admin/bridge/apikey/add/"),
    "usage": Shot(path=USAGE),
    "audit": Shot(path="/admin/bridge/auditevent/"),
    "nodes": Shot(path="/admin/scheduler/node/", height=560),
    "node": Shot(path="/admin/scheduler/node/1/change/"),
    "models": Shot(path="/admin/scheduler/catalogmodel/", height=560),
    "model": Shot(path="/admin/scheduler/catalogmodel/1/change/"),
    "pins": Shot(path="/admin/scheduler/pinningpolicy/", height=560),
    "pin-preview": Shot(path="/admin/scheduler/pinningpolicy/add/", act=_preview),
    "ledger": Shot(path="/admin/scheduler/ledgerentry/"),
    "measurements": Shot(path="/admin/scheduler/measurement/", height=560),
    "people": Shot(path="/admin/auth/user/", height=560),
    "docs": Shot(path="/docs"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", choices=sorted(SHOTS), default=list(SHOTS))
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        demo(Path(scratch) / "data") as shown,
        chromium() as browser,
    ):
        shown.work()
        time.sleep(WARM_S)
        for scheme in SCHEMES:
            with signed_in(browser, shown, scheme) as page:
                for name in wanted.only:
                    take(page, SHOTS[name], wanted.out / f"{name}-{scheme}.png")
        shown.rest()


def take(page: Page, shot: Shot, file: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": shot.height})
    reply = page.goto(shot.path)
    assert reply is not None
    assert reply.status == 200, f"{shot.path} answers {reply.status}"
    if shot.act is not None:
        shot.act(page)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert picture.getcolors(1) is None, f"{shot.path} is a blank picture"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def signed_in(browser: Browser, shown: Demo, scheme: Scheme) -> Iterator[Page]:
    context = browser.new_context(base_url=shown.bridge.url, color_scheme=scheme)
    page = context.new_page()
    page.goto("/admin/")
    page.fill("#id_username", "olga")
    page.fill("#id_password", "olga")
    page.click("input[type=submit]")
    yield page
    context.close()


if __name__ == "__main__":
    sys.exit(main())

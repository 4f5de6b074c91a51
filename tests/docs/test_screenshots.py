"""The pictures of the pages: all there, small, and shown to readers."""

from __future__ import annotations

from pathlib import Path

from tests.browser.screenshots import OUT, SCHEMES, SHOTS

MOST_BYTES = 3_000_000
ROOT = Path(__file__).resolve().parents[2]


def test_every_page_has_a_picture_light_and_dark_and_no_picture_is_left_over() -> None:
    wanted = {f"{name}-{scheme}.png" for name in SHOTS for scheme in SCHEMES}
    assert {path.name for path in OUT.iterdir()} == wanted


def test_the_pictures_are_small_enough_to_be_cloned_with_the_code() -> None:
    assert sum(path.stat().st_size for path in OUT.iterdir()) < MOST_BYTES


def test_readers_are_led_to_every_picture() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(OUT.iterdir()) if f"screenshots/{path.name}" not in page] == []

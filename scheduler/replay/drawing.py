"""What pictures share: their look in light and dark, their ticks, and numbers as people read them."""

from __future__ import annotations

import math
from html import escape

# Fills on which white text has a contrast of at least 4.5 to 1, on light and on dark pages alike.
FILLS = (
    *("1f6aa5", "7a4fa3", "1d7a5f", "a8481f", "8a3a63", "55701c"),
    *("3d5a80", "9a5b12", "5b3fb5", "0f766e", "b03060", "5f6b2d"),
)
RULES = {
    "paper": ("fill:#fff", "fill:#14181d"),
    "ink": ("fill:#1d2125", "fill:#e8eaed"),
    "quiet": ("fill:#5c6670", "fill:#a3adb8"),
    "grid": ("stroke:#dfe3e8", "stroke:#333a43"),
    "frame": ("fill:none;stroke:#8b95a1", "fill:none;stroke:#6b7681"),
    "ahead": ("stroke:#1d2125", "stroke:#fff"),
    "wait": ("stroke:#c62828", "stroke:#ff6b6b"),
    "line": ("fill:none;stroke:#1f6aa5", "fill:none;stroke:#6cb2f0"),
    "best": ("fill:none;stroke:#1d7a5f", "fill:none;stroke:#4cc9a0"),
    "dot": ("fill:#9aa4ae", "fill:#66707b"),
}
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


def head(width: int, height: int, label: str, *, styled: bool = True) -> list[str]:
    """The beginning of a picture. Its colours follow the reader's choice of light or dark; on a page, whose
    own style sheet has rules for the same classes, it comes without them (`styled` false)."""
    style = f"<style>{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}</style>"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}" font-family="system-ui, sans-serif" font-size="12">'
    )
    paper = f'<rect class="paper" width="{width}" height="{height}"/>'
    return [opening, style, paper] if styled else [opening, paper]


def _rules(scheme: int) -> str:
    return "".join(f".{name}{{{rules[scheme]}}}" for name, rules in RULES.items())


def text(x: float, y: float, words: str, kind: str = "ink", anchor: str = "start", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def ticks(most: float, wanted: int = 5) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    rough = most / wanted if most > 0 else 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * 0.999)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)] if most > 0 else [0.0, step]


def time_ticks(start: float, end: float, wanted: int = 8) -> list[float]:
    """Round moments within a stretch of seconds."""
    rough = (end - start) / wanted
    days = math.ceil(rough / 86_400) * 86_400
    step = next((s for s in TIME_STEPS if s >= rough), max(days, 86_400))
    first = math.ceil(start / step)
    return [step * float(n) for n in range(first, math.floor(end / step) + 1)]


def clock(seconds: float) -> str:
    """Seconds of a trace as `2d 03:15` or `03:15:30`."""
    days, rest = divmod(round(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    day = f"{days}d " if days else ""
    return f"{day}{hours:02d}:{minutes:02d}" + (f":{left:02d}" if left else "")

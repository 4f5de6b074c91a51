"""A timeline as SVG: per node its VRAM over time, what lay in it, and who was served at once or had to wait.

Each stay of a model is a bar as high as its bytes; the hatched part is its load, a dashed border marks a
prefetch. Under each bar a green tick is a request served at once, a red line one that waited, as long as its
wait. At most the first stays and requests that fit the bounds are drawn, and the picture says so.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from html import escape

from scheduler.policy.config import GB
from scheduler.policy.state import Node
from scheduler.replay.outcome import Record, Span, Timeline
from scheduler.replay.trace import Trace

MOST_SPANS = 250
MOST_REQUESTS = 4000
WIDTH, NODE_HEIGHT, LEFT, TOP, GAP = 1400, 160, 90, 40, 34
HATCH = (
    '<defs><pattern id="load" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><rect width="3" height="6" fill="#999"/></pattern></defs>'
)


def svg(trace: Trace, record: Record, nodes: list[Node], since: float = 0.0) -> str:
    """The picture of a recorded run from `since` (seconds of the trace). The record must have a timeline."""
    timeline = record.timeline or Timeline()
    numbers = [i for i, span in enumerate(timeline.spans) if span.gone > since]
    spans = {i: timeline.spans[i] for i in numbers[:MOST_SPANS]}
    served = [(i, s) for i, s in timeline.served if s in spans and trace.times[i] >= since][:MOST_REQUESTS]
    start = max(min((s.load_from for s in spans.values()), default=0.0), since)
    end = max([start + 1.0, *(s.ready for s in spans.values()), *(trace.times[i] for i, _ in served)])
    frame = _Frame(
        start, end, {n.name: k for k, n in enumerate(nodes)}, {n.name: n.vram_bytes for n in nodes}
    )
    sizes = {m: int(gb * GB) for m, gb in zip(trace.model_names, trace.sizes_gb, strict=True)}
    heights = _stacked(spans, sizes, frame.vram)
    parts = [*_head(len(nodes), len(numbers) > len(spans)), *frame.axes(nodes)]
    for number, span in spans.items():
        parts += frame.bar(span, heights[number], sizes[span.model], _colour(span.model, trace.model_names))
    for i, s in served:
        parts.append(frame.request(spans[s], heights[s], trace.times[i], record.waits[i]))
    return "\n".join([*parts, "</svg>"])


def _stacked(spans: dict[int, Span], sizes: dict[str, int], vram: dict[str, int]) -> dict[int, int]:
    """An offset in its node's VRAM for each stay, in bytes: first fit, else at the top."""
    placed: list[tuple[Span, int]] = []
    offsets: dict[int, int] = {}
    for number, span in spans.items():
        size = sizes[span.model]
        beside = sorted(
            (low, low + sizes[other.model])
            for other, low in placed[-64:]
            if other.node == span.node and other.gone > span.load_from
        )
        bottom = 0
        for low, high in beside:
            if bottom + size <= low:
                break
            bottom = max(bottom, high)
        offsets[number] = max(min(bottom, vram[span.node] - size), 0)
        placed.append((span, offsets[number]))
    return offsets


def _head(nodes: int, cut: bool) -> Iterable[str]:
    height = TOP + nodes * (NODE_HEIGHT + GAP) + 20
    note = " (a part of the trace)" if cut else ""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 20} {height}" '
        'font-family="sans-serif" font-size="11">'
    )
    yield HATCH
    yield f'<text x="{LEFT}" y="20">VRAM over time{note}: hatched loads, dashed prefetched; '
    yield "green served at once, red waited.</text>"


def _colour(model: str, models: list[str]) -> str:
    hue = models.index(model) * 0.618 % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.72, 0.55)
    return f"#{int(red * 255):02x}{int(green * 255):02x}{int(blue * 255):02x}"


class _Frame:
    """From seconds and bytes to the page."""

    def __init__(self, start: float, end: float, row: dict[str, int], vram: dict[str, int]) -> None:
        self.start, self.end, self.row, self.vram = start, end, row, vram

    def x(self, at: float) -> float:
        at = min(max(at, self.start), self.end)
        return LEFT + (at - self.start) / (self.end - self.start or 1.0) * WIDTH

    def base(self, node: str) -> float:
        return TOP + (self.row[node] + 1) * (NODE_HEIGHT + GAP) - GAP

    def axes(self, nodes: list[Node]) -> Iterable[str]:
        for node in nodes:
            base = self.base(node.name)
            yield f'<text x="4" y="{base - NODE_HEIGHT / 2:.0f}">{escape(node.name)}</text>'
            yield f'<text x="4" y="{base - NODE_HEIGHT / 2 + 14:.0f}">{node.vram_bytes / GB:.0f} GB</text>'
            yield (
                f'<rect x="{LEFT}" y="{base - NODE_HEIGHT:.0f}" width="{WIDTH}" height="{NODE_HEIGHT}" '
                'fill="none" stroke="#888"/>'
            )
            for k in range(6):
                at = self.start + (self.end - self.start) * k / 5
                yield f'<text x="{self.x(at):.0f}" y="{base + 24:.0f}" text-anchor="middle">{at:.0f} s</text>'

    def bar(self, span: Span, bottom: int, size: int, colour: str) -> Iterable[str]:
        scale = NODE_HEIGHT / self.vram[span.node]
        top, height = self.base(span.node) - (bottom + size) * scale, size * scale
        load, ready, gone = self.x(span.load_from), self.x(span.ready), self.x(span.gone)
        dashes = ' stroke-dasharray="4 2"' if span.prefetched else ""
        title = f"<title>{escape(span.model)}: loaded {span.load_from:.1f} to {span.ready:.1f} s</title>"
        tall = f'y="{top:.1f}" height="{height:.1f}"'
        yield f'<rect x="{load:.1f}" width="{ready - load:.1f}" {tall} fill="url(#load)"/>'
        yield (
            f'<rect x="{ready:.1f}" width="{max(gone - ready, 0.5):.1f}" {tall} '
            f'fill="{colour}" fill-opacity="0.85" stroke="#444" stroke-width="0.5"{dashes}>{title}</rect>'
        )
        if gone - ready > 7 * len(span.model):
            yield f'<text x="{ready + 3:.1f}" y="{top + min(height, 14) - 2:.1f}">{escape(span.model)}</text>'

    def request(self, span: Span, bottom: int, arrived: float, wait: float) -> str:
        y = self.base(span.node) - bottom * NODE_HEIGHT / self.vram[span.node] - 3
        x = self.x(arrived)
        if wait <= 0:
            return f'<path d="M{x:.1f} {y:.1f}v-5" stroke="#080"/>'
        return f'<path d="M{x:.1f} {y:.1f}H{self.x(arrived + wait):.1f}" stroke="#c00" stroke-width="2"/>'

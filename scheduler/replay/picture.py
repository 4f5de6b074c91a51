"""A replay as a picture: per node its VRAM over time, what lay in it, and who was served at once or waited.

Each stay of a model is a bar as high as its bytes: hatched while it loads, with a dashed edge and a triangle
where it was prefetched. Ticks at its foot are requests that it served at once. Under each node lie the
requests that had to wait for it, each as long as its wait. At most so many stays and requests are drawn as
one can read, and the picture says which part of the trace it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from scheduler.policy.config import GB
from scheduler.policy.state import Node
from scheduler.replay import drawing
from scheduler.replay.outcome import Record, Span, Timeline
from scheduler.replay.trace import Trace

MOST_STAYS = 120
MOST_REQUESTS = 3000
MOST_NODES = 16
MOST_KEYS_SHOWN = 24  # models in the legend
WIDTH, LEFT, RIGHT, TOP = 1400, 76, 20, 64
NODE_HEIGHT, WAIT_ROWS, WAIT_HEIGHT, GAP = 150, 8, 4, 46
LEGEND_ROW, LEGEND_WIDTH = 20, 150
HATCH = (
    '<defs><pattern id="load" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="3" height="7" fill="#fff" fill-opacity="0.55"/></pattern>'
    "</defs>"
)


Piece = tuple[int, int]  # from and to, in bytes from the floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is drawn: stays by number, the (request, stay) served by them, and from when to when."""

    stays: dict[int, Span]
    served: list[tuple[int, int]]
    start: float
    end: float
    whole: bool  # nothing was left out


def svg(trace: Trace, record: Record, nodes: list[Node], since: float = 0.0, title: str = "") -> str:
    """The picture of a recorded run from `since` (seconds of the trace). The record must have a timeline."""
    nodes = nodes[:MOST_NODES]
    shown = part(trace, record.timeline or Timeline(), {n.name for n in nodes}, since)
    frame = _Frame(shown, nodes)
    models = sorted({span.model for span in shown.stays.values()})
    fills = {model: drawing.FILLS[n % len(drawing.FILLS)] for n, model in enumerate(models)}
    sizes = {m: int(gb * GB) for m, gb in zip(trace.model_names, trace.sizes_gb, strict=True)}
    places = stacked(shown.stays, sizes, frame.vram)
    parts = [*frame.head(title, models), HATCH, *_legend(fills), *frame.axes(nodes)]
    for number, span in shown.stays.items():
        parts += frame.bar(span, places[number], fills[span.model])
    parts += frame.hits(trace, record, places)
    parts += frame.waits(trace, record)
    return "\n".join([*parts, "</svg>"]) + "\n"


def part(trace: Trace, timeline: Timeline, nodes: set[str], since: float) -> Part:
    """As many stays and requests from `since` on as can be read, and the stretch of time that they fill."""
    numbers = [i for i, s in enumerate(timeline.spans) if s.gone > since and s.node in nodes]
    stays = {i: timeline.spans[i] for i in numbers[:MOST_STAYS]}
    cut = len(numbers) > len(stays)
    until = timeline.spans[numbers[MOST_STAYS]].load_from if cut else float("inf")
    served = [(i, s) for i, s in timeline.served if s in stays and since <= trace.times[i] < until]
    served.sort()
    if len(served) > MOST_REQUESTS:
        until, cut = trace.times[served[MOST_REQUESTS][0]], True
        served = served[:MOST_REQUESTS]
        stays = {i: s for i, s in stays.items() if s.load_from < until}
    start = max(min((s.load_from for s in stays.values()), default=since), since)
    ends = [trace.times[i] for i, _ in served] + [min(s.ready, until) for s in stays.values()]
    return Part(
        stays=stays, served=served, start=start, end=max([start + 1.0, *ends]), whole=not cut and since <= 0
    )


def stacked(stays: dict[int, Span], sizes: dict[str, int], vram: dict[str, int]) -> dict[int, list[Piece]]:
    """Where each stay lies in its node's VRAM: the first gap that takes it whole, else pieces in several."""
    there: dict[str, list[tuple[Span, list[Piece]]]] = {}
    places: dict[int, list[Piece]] = {}
    for number, span in stays.items():
        beside = [(s, pieces) for s, pieces in there.get(span.node, []) if s.gone > span.load_from]
        taken = sorted(piece for _, pieces in beside for piece in pieces)
        places[number] = _pieces(taken, sizes[span.model], vram[span.node])
        there[span.node] = [*beside, (span, places[number])]
    return places


def _pieces(taken: list[Piece], size: int, vram: int) -> list[Piece]:
    gaps: list[Piece] = []
    floor = 0
    for low, high in [*taken, (vram, vram)]:
        if low > floor:
            gaps.append((floor, low))
        floor = max(floor, high)
    whole = next(((low, low + size) for low, high in gaps if high - low >= size), None)
    if whole is not None:
        return [whole]
    pieces: list[Piece] = []
    for low, high in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        if size > 0:
            pieces.append((low, min(high, low + size)))
            size -= high - low
    return pieces or [(0, vram)]


def rows_of(waits: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float, int]]:
    """(from, to, row) for each stretch: the first row that is free, the last one when none is."""
    busy_until = [float("-inf")] * WAIT_ROWS
    for begun, ended in waits:
        row = next((r for r, until in enumerate(busy_until) if until <= begun), WAIT_ROWS - 1)
        busy_until[row] = max(busy_until[row], ended)
        yield begun, ended, row


def _legend(fills: dict[str, str]) -> Iterator[str]:
    """What marks mean, and the colour of each model."""
    x, y = float(LEFT), 44.0
    yield f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="18" height="12" fill="#{drawing.FILLS[0]}"/>'
    yield f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="18" height="12" fill="url(#load)"/>'
    yield drawing.text(x + 24, y, "load")
    yield _edge(x + 80, y - 10, 18, 12, drawing.FILLS[0], dashed=True)
    yield _triangle(x + 80, y - 10)
    yield drawing.text(x + 104, y, "prefetched")
    yield f'<rect x="{x + 184:.0f}" y="{y - 10:.0f}" width="18" height="12" fill="#{drawing.FILLS[0]}"/>'
    yield "".join(f'<path stroke="#fff" d="M{x + 188 + 4 * n:.0f} {y - 3:.0f}v5"/>' for n in range(3))
    yield drawing.text(x + 208, y, "served at once")
    yield f'<path class="wait" stroke-width="3" d="M{x + 316:.0f} {y - 4:.0f}h22"/>'
    yield drawing.text(x + 344, y, "waited, from arrival to start")
    for n, (model, fill) in enumerate(list(fills.items())[:MOST_KEYS_SHOWN]):
        row, column = divmod(n, (WIDTH - LEFT) // LEGEND_WIDTH)
        at, low = LEFT + column * LEGEND_WIDTH, TOP + 4 + row * LEGEND_ROW
        yield f'<rect x="{at}" y="{low - 10}" width="12" height="12" fill="#{fill}"/>'
        yield drawing.text(at + 18, low, _short(model, 18))
    if (more := len(fills) - MOST_KEYS_SHOWN) > 0:
        yield drawing.text(WIDTH, 44, f"and {more} models more", "quiet", "end")


def _legend_rows(models: int) -> int:
    shown = min(models, MOST_KEYS_SHOWN)
    return -(-shown // ((WIDTH - LEFT) // LEGEND_WIDTH))


def _edge(x: float, y: float, width: float, height: float, fill: str, *, dashed: bool) -> str:
    ahead = 'class="ahead" stroke-dasharray="4 2" stroke-width="1.5"'
    edge = ahead if dashed else 'stroke="#fff" stroke-width="0.5"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#{fill}" {edge}/>'


def _triangle(x: float, y: float) -> str:
    return f'<path fill="#fff" d="M{x + 1:.1f} {y + 1:.1f}h7l-7 7z"/>'


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


class _Frame:
    """From seconds and bytes to the page."""

    def __init__(self, shown: Part, nodes: list[Node]) -> None:
        self.part = shown
        self.vram = {n.name: n.vram_bytes for n in nodes}
        self.row = {n.name: k for k, n in enumerate(nodes)}
        self.top = 0.0  # of the first node; known when the legend is

    def head(self, title: str, models: list[str]) -> list[str]:
        self.top = TOP + _legend_rows(len(models)) * LEGEND_ROW + 14
        height = int(self.top + len(self.row) * (NODE_HEIGHT + GAP + WAIT_ROWS * WAIT_HEIGHT))
        shown = self.part
        stretch = "" if shown.whole else f"  ·  {drawing.clock(shown.start)} to {drawing.clock(shown.end)}"
        words = f"{title or 'VRAM over time'}{stretch}"
        big = ' font-size="16" font-weight="600"'
        parts = drawing.head(LEFT + WIDTH + RIGHT, height, words)
        return [*parts, drawing.text(LEFT, 24, words, more=big)]

    def x(self, at: float) -> float:
        at = min(max(at, self.part.start), self.part.end)
        return LEFT + (at - self.part.start) / (self.part.end - self.part.start) * WIDTH

    def base(self, node: str) -> float:
        """The y of an empty node's floor."""
        return self.top + self.row[node] * (NODE_HEIGHT + GAP + WAIT_ROWS * WAIT_HEIGHT) + NODE_HEIGHT

    def axes(self, nodes: list[Node]) -> Iterator[str]:
        for node in nodes:
            base, foot = self.base(node.name), self.base(node.name) + WAIT_ROWS * WAIT_HEIGHT + 4
            full = node.vram_bytes / GB
            yield drawing.text(4, base - NODE_HEIGHT + 10, node.name, more=' font-weight="600"')
            for share in (0.0, 0.5, 1.0):
                y = base - share * NODE_HEIGHT
                yield drawing.line(LEFT, y, LEFT + WIDTH, y)
                if share < 1:
                    yield drawing.text(LEFT - 6, y + 4, f"{share * full:.0f} GB", "quiet", "end")
            yield drawing.text(LEFT - 6, base - NODE_HEIGHT + 24, f"{full:.0f} GB", "quiet", "end")
            yield drawing.text(LEFT - 6, base + 18, "waiting", "quiet", "end")
            for at in drawing.time_ticks(self.part.start, self.part.end):
                yield drawing.line(self.x(at), base - NODE_HEIGHT, self.x(at), foot)
                yield drawing.text(self.x(at), foot + 14, drawing.clock(at), "quiet", "middle")
            yield (
                f'<rect class="frame" x="{LEFT}" y="{base - NODE_HEIGHT:.1f}" width="{WIDTH}" '
                f'height="{NODE_HEIGHT}"/>'
            )

    def bar(self, span: Span, pieces: list[Piece], fill: str) -> Iterator[str]:
        load, ready, gone = self.x(span.load_from), self.x(span.ready), self.x(span.gone)
        came = "prefetched" if span.prefetched else "loaded"
        told = f"{span.model}: {came} {drawing.clock(span.load_from)}, ready {drawing.clock(span.ready)}"
        if span.gone < float("inf"):
            told += f", gone {drawing.clock(span.gone)}"
        yield f'<g class="stay"><title>{escape(told)}</title>'
        for piece in pieces:
            top, height = self.tall(span.node, piece)
            yield _edge(load, top, max(gone - load, 0.8), height, fill, dashed=span.prefetched)
            yield (
                f'<rect x="{load:.1f}" y="{top:.1f}" width="{ready - load:.1f}" height="{height:.1f}" '
                'fill="url(#load)"/>'
            )
        yield self.named(span, pieces[0], ready, gone)
        yield "</g>"

    def tall(self, node: str, piece: Piece) -> tuple[float, float]:
        """The y and the height of bytes."""
        scale = NODE_HEIGHT / self.vram[node]
        return self.base(node) - piece[1] * scale, (piece[1] - piece[0]) * scale

    def named(self, span: Span, piece: Piece, ready: float, gone: float) -> str:
        """The triangle of a prefetched stay, and its model where there is room."""
        top, height = self.tall(span.node, piece)
        mark = _triangle(self.x(span.load_from), top) if span.prefetched else ""
        room = int((gone - ready - 8) / 7)
        if room < min(len(span.model), 4) or height < 14:
            return mark
        name = escape(_short(span.model, room))
        return f'{mark}<text fill="#fff" x="{ready + 5:.1f}" y="{top + 13:.1f}">{name}</text>'

    def hits(self, trace: Trace, record: Record, places: dict[int, list[Piece]]) -> Iterator[str]:
        """One path of ticks for each stay."""
        at_once: dict[int, list[float]] = {}
        for i, s in self.part.served:
            if record.waits[i] <= 0:
                at_once.setdefault(s, []).append(self.x(trace.times[i]))
        for s, marks in at_once.items():
            span = self.part.stays[s]
            top, height = self.tall(span.node, places[s][0])
            ticks = "".join(f"M{x:.1f} {top + height - 1:.1f}v-6" for x in marks)
            count = f'data-count="{len(marks)}"'
            yield f'<path class="hit" stroke="#fff" stroke-opacity="0.8" {count} d="{ticks}"/>'

    def waits(self, trace: Trace, record: Record) -> Iterator[str]:
        """One path of stretches for each node."""
        waited: dict[str, list[tuple[float, float]]] = {}
        for i, s in self.part.served:
            if record.waits[i] > 0:
                arrived = trace.times[i]
                waited.setdefault(self.part.stays[s].node, []).append((arrived, arrived + record.waits[i]))
        for node, stretches in waited.items():
            parts = [self.wait(node, *stretch) for stretch in rows_of(stretches)]
            yield f'<path class="wait" stroke-width="3" data-count="{len(parts)}" d="{"".join(parts)}"/>'

    def wait(self, node: str, begun: float, ended: float, row: int) -> str:
        left, right = self.x(begun), self.x(ended)
        return f"M{left:.1f} {self.base(node) + 4 + row * WAIT_HEIGHT:.1f}H{max(right, left + 1):.1f}"

"""The frontier as a picture: what each fleet costs a month against how long requests wait on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape

from scheduler.planning.estimate import Estimate
from scheduler.planning.search import Search, all_met
from scheduler.replay import drawing

WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 900, 540, 70, 40, 96, 68
LEAST_S = 0.01  # below it waits are drawn at the axis: a logarithm has no zero
LEGEND_WIDTH = 160
FAR = 2.5
NAMES = {"wait": "wait", "ttft": "time to the first token"}


def svg(search: Search, title: str, *, styled: bool = True) -> str:
    """Fleets as numbered dots, filled where they meet all targets; the frontier as a line, the first target
    as a dashed one, a ring around the best."""
    figure = search.targets[0].figure
    kind, share, _ = figure.split("_")
    found = near(search)
    most_usd = max((e.usd_per_month for e in found), default=1.0)
    most_s = max([search.targets[0].seconds, *(getattr(e, figure) for e in found)])
    usd, decades = drawing.ticks(most_usd), _decades(most_s)

    def x(value: float) -> float:
        return LEFT + value / usd[-1] * (WIDTH - LEFT - RIGHT)

    def y(seconds: float) -> float:
        low, high = math.log10(LEAST_S), math.log10(decades[-1])
        up = (math.log10(max(seconds, LEAST_S)) - low) / (high - low)
        return HEIGHT - FOOT - up * (HEIGHT - FOOT - TOP)

    kinds = sorted({e.candidate.fleet.kind.name for e in found})
    fills = {name: drawing.FILLS[n % len(drawing.FILLS)] for n, name in enumerate(kinds)}
    parts = drawing.head(WIDTH, HEIGHT, title, styled=styled)
    parts.append(drawing.text(LEFT, 24, title, more=' font-size="16" font-weight="600"'))
    parts += _legend(fills)
    parts += _axes(usd, decades, x, y, f"{share} {NAMES[kind]}")
    target = search.targets[0].seconds
    parts.append(_dashed(LEFT, y(target), WIDTH - RIGHT))
    parts.append(drawing.text(WIDTH - RIGHT, y(target) - 6, f"target {target:g} s", "ink", "end"))
    line = [e for e in search.frontier() if e in found]
    corners = [(x(e.usd_per_month), y(getattr(e, figure))) for e in line]
    if len(corners) > 1:
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in corners)
        parts.append(f'<path class="line" stroke-width="2" d="M{path}"/>')
    if left := len(search.found) - len(found):
        words = f"not drawn: {left} that cost over {FAR:g} times as much as the best"
        parts.append(drawing.text(WIDTH - RIGHT, TOP - 10, words, "quiet", "end"))
    for estimate in found:
        at = (x(estimate.usd_per_month), y(getattr(estimate, figure)))
        parts += _dot(search, estimate, at, fills[estimate.candidate.fleet.kind.name])
    return "\n".join([*parts, "</svg>"]) + "\n"


def near(search: Search) -> list[Estimate]:
    """The fleets worth a look: what costs a multiple of the best was replayed only to bound the search."""
    far = FAR * search.best.usd_per_month if search.best else math.inf
    return [estimate for estimate in search.found if estimate.usd_per_month <= far]


def _decades(most_s: float) -> list[float]:
    top = max(math.ceil(math.log10(max(most_s, 1.0))), 0)
    return [10.0**n for n in range(-2, top + 1)]


def _axes(
    usd: list[float],
    decades: list[float],
    x: Callable[[float], float],
    y: Callable[[float], float],
    what: str,
) -> Iterator[str]:
    for value in usd:
        yield drawing.line(x(value), TOP, x(value), HEIGHT - FOOT)
        yield drawing.text(x(value), HEIGHT - FOOT + 30, f"${value:,.0f}", "quiet", "middle")
    for seconds in decades:
        least = "≤ " if seconds == LEAST_S else ""
        yield drawing.line(LEFT, y(seconds), WIDTH - RIGHT, y(seconds))
        yield drawing.text(LEFT - 8, y(seconds) + 4, f"{least}{seconds:g} s", "quiet", "end")
    yield drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "cost per month", "quiet", "middle")
    yield drawing.text(LEFT, TOP - 10, what, "quiet")


def _legend(fills: dict[str, str]) -> Iterator[str]:
    in_row = (WIDTH - LEFT) // LEGEND_WIDTH
    for n, (name, fill) in enumerate(list(fills.items())[: 2 * in_row]):
        row, column = divmod(n, in_row)
        at, low = LEFT + column * LEGEND_WIDTH, 48 + row * 18
        yield f'<rect x="{at}" y="{low - 10}" width="12" height="12" rx="6" fill="#{fill}"/>'
        yield drawing.text(at + 18, low, name)


def _dashed(x1: float, y: float, x2: float) -> str:
    return f'<path class="wait" stroke-dasharray="6 4" d="M{x1:.1f} {y:.1f}H{x2:.1f}"/>'


def _dot(search: Search, estimate: Estimate, at: tuple[float, float], fill: str) -> Iterator[str]:
    x, y = at
    count = estimate.candidate.fleet.count
    met = all_met(search.targets, estimate)
    told = (
        f"{estimate.candidate.fleet}, {estimate.candidate.policy}: ${estimate.usd_per_month:,.0f} a month, "
        f"p95 wait {estimate.wait_p95_s:.2f} s, {'meets' if met else 'misses'} the target"
    )
    yield f'<g class="fleet"><title>{escape(told)}</title>'
    if estimate is search.best:
        yield f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="15" stroke-width="3"/>'
    look = f'fill="#{fill}"' if met else f'class="paper" stroke="#{fill}" stroke-width="2"'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" {look}/>'
    ink = 'fill="#fff"' if met else 'class="ink"'
    yield f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" {ink}>{count}</text></g>'

"""Bars over time, as values for a template that draws them as SVG: no script, light and dark by CSS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 1000, 200
GAP = 0.15  # of a bar's room


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """One piece of a bar; `fill` is the number of its colour."""

    x: float
    y: float
    width: float
    height: float
    fill: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A line of the legend."""

    name: str
    fill: int
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with its legend and the words at its edges."""

    title: str
    rects: tuple[Rect, ...]
    legend: tuple[Name, ...]
    top: str  # what its height stands for
    first: str
    last: str
    said: str  # for those who do not see it


def stacked(
    title: str,
    moments: Sequence[datetime],
    series: Mapping[str, Mapping[datetime, float]],
    *,
    unit: str,
    fills: Mapping[str, int] | None = None,
    most: float | None = None,
) -> Chart:
    """Series on top of each other, one bar for each moment. `most`: the height; else the highest bar."""
    names = [name for name, values in series.items() if any(values.values())]
    sums = [sum(series[name].get(at, 0.0) for name in names) for at in moments]
    top = most or max(sums, default=0.0)
    room = WIDTH / max(len(moments), 1)
    rects: list[Rect] = []
    for number, at in enumerate(moments):
        y = float(HEIGHT)
        for name in names:
            value = series[name].get(at, 0.0)
            height = min(value / top * HEIGHT, y) if top else 0.0
            if height <= 0.05:
                continue
            y -= height
            rects.append(
                Rect(
                    x=round(number * room + room * GAP / 2, 2),
                    y=round(y, 2),
                    width=round(room * (1 - GAP), 2),
                    height=round(height, 2),
                    fill=_fill(name, names, fills),
                    title=f"{told(at, moments)} UTC, {name}: {figure(value, unit)}",
                )
            )
    legend = tuple(
        Name(
            name=name,
            fill=_fill(name, names, fills),
            total="" if most else figure(sum(series[name].values()), unit),
        )
        for name in names
    )
    ends = (told(moments[0], moments), told(moments[-1], moments)) if moments else ("", "")
    highest = figure(max(sums, default=0), unit)
    said = f"{title}, {len(moments)} bars from {ends[0]} to {ends[1]}; the highest is {highest}."
    return Chart(
        title=title,
        rects=tuple(rects),
        legend=legend,
        top=figure(top, unit),
        first=ends[0],
        last=ends[1],
        said=f"{said} The tables have the figures.",
    )


def _fill(name: str, names: Sequence[str], fills: Mapping[str, int] | None) -> int:
    return fills[name] if fills and name in fills else names.index(name) % 8


def told(at: datetime, moments: Sequence[datetime]) -> str:
    """A bar's time: with its hour where bars are hours."""
    hours = len(moments) > 1 and (moments[1] - moments[0]).total_seconds() < 86_400
    return f"{at:%m-%d %H:%M}" if hours else f"{at:%Y-%m-%d}"


def figure(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
    return f"{number}{'' if unit == '%' else ' '}{unit}".strip()

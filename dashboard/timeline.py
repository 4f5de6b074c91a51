"""The timeline: which model lay on which node when, rebuilt from the ledger. Pure but for `rows`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.models import LedgerEntry, Node

HOURS = (1, 6, 24)
MOST_ENTRIES = 5000  # read for one page; older ones of the window are left out, and the page says so
PREEMPTED = "preempted"  # the cause of a prefetch that was called off while it loaded: it never came
ARRIVES = frozenset({"load", "prefetch", "reload"})
ARRIVED = frozenset(
    {"", "ok", "spilled", "hit", "late", "wasted", "harmful"}
)  # outcomes of loads that succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A model's stay on a node."""

    node: str
    model: str
    start: datetime
    end: datetime
    cause: str  # why it came; "" when that was before the window
    left: str  # why it went; "" while it is there, or where nobody knows
    prefetch: str = ""  # of a prefetch: open, hit, late, wasted or harmful
    saved_s: float | None = None  # what it saved of waiting; below 0: cost

    @property
    def because(self) -> str:
        """Why it came; of a prefetch with what became of it."""
        if not self.prefetch:
            return self.cause
        saved = "" if self.saved_s is None else f" {self.saved_s:+.2f} s"
        return f"{self.cause}: {self.prefetch}{saved}"


def spans(
    entries: Iterable[LedgerEntry], resident: Mapping[str, frozenset[str]], start: datetime, now: datetime
) -> list[Span]:
    """Stays within the window, from entries in order of time. `resident`: models by node, as of now.

    1. A load begins a stay, an eviction ends it; without its load it began before the window.
    2. A node that comes back after it was away has lost what it held.
    3. What is still open lasts until now where it is resident, else it ended unseen.
    """
    open_: dict[tuple[str, str], LedgerEntry] = {}
    found: list[Span] = []

    def close(key: tuple[str, str], at: datetime, left: str) -> None:
        found.append(_stay(key, open_.pop(key, None), start, at, left))

    for entry in entries:
        key = (entry.node, entry.model)
        if entry.kind in ARRIVES and entry.outcome in ARRIVED and entry.cause != PREEMPTED:  # 1
            open_.setdefault(key, entry)
        elif entry.kind == "evict" and entry.outcome != "failed":
            close(key, entry.at, entry.cause or "evicted")
        elif entry.kind == "recover":  # 2
            for lost in [k for k in open_ if k[0] == entry.node]:
                close(lost, entry.at, "node was away")
    for key in list(open_):  # 3
        there = key[1] in resident.get(key[0], frozenset())
        close(key, now if there else open_[key].at, "" if there else "unknown")
    found += _from_before(found, resident, start, now)
    return sorted(found, key=lambda span: (span.node, span.model, span.start))


def _stay(key: tuple[str, str], came: LedgerEntry | None, start: datetime, end: datetime, left: str) -> Span:
    """`came` None: before the window."""
    if came is None:
        return Span(node=key[0], model=key[1], start=start, end=end, cause="", left=left)
    ahead = came.kind == LedgerEntry.Kind.PREFETCH
    return Span(
        node=key[0],
        model=key[1],
        start=came.at,
        end=end,
        cause=came.cause,
        left=left,
        prefetch=(came.outcome or "open") if ahead else "",
        saved_s=came.saved_s if ahead else None,
    )


def _from_before(
    found: Iterable[Span], resident: Mapping[str, frozenset[str]], start: datetime, now: datetime
) -> list[Span]:
    """Residents that the window's entries say nothing about: they were there all the time."""
    lasting = {(span.node, span.model) for span in found if span.end == now}
    return [
        Span(node=node, model=model, start=start, end=now, cause="", left="")
        for node, models in resident.items()
        for model in models
        if (node, model) not in lasting
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stay as a rectangle, in thousandths of the window's width."""

    x: float
    width: float
    hue: int
    title: str
    prefetch: str = ""  # what became of it; drawn as a strip along the bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A model's stays on a node, one row of the picture."""

    model: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A node's lanes."""

    node: str
    lanes: tuple[Lane, ...]


def pictures(stays: Iterable[Span], start: datetime, now: datetime) -> list[Picture]:
    """By node and model, in order of name. A model has one colour on all nodes."""
    by_node: dict[str, dict[str, list[Span]]] = {}
    for stay in stays:
        by_node.setdefault(stay.node, {}).setdefault(stay.model, []).append(stay)
    hues = {model: n for n, model in enumerate(sorted({m for models in by_node.values() for m in models}))}
    return [
        Picture(
            node=node,
            lanes=tuple(
                Lane(
                    model=model, bars=tuple(_bar(each, hues[model] % 6, start, now) for each in models[model])
                )
                for model in sorted(models)
            ),
        )
        for node, models in sorted(by_node.items())
    ]


def _bar(stay: Span, hue: int, start: datetime, now: datetime) -> Bar:
    whole = (now - start).total_seconds()
    x = max((stay.start - start).total_seconds(), 0.0) / whole * 1000
    width = (stay.end - max(stay.start, start)).total_seconds() / whole * 1000
    came = f"came {stay.start:%H:%M:%S} ({stay.because})" if stay.cause else "came before"
    went = f"left {stay.end:%H:%M:%S} ({stay.left})" if stay.left else "is there"
    return Bar(
        x=round(x, 2),
        width=round(max(width, 1.0), 2),
        hue=hue,
        title=f"{stay.model}: {came}, {went}",
        prefetch=stay.prefetch,
    )


def rows(hours: int, now: datetime) -> tuple[list[LedgerEntry], dict[str, frozenset[str]]]:
    """The window's newest entries in order of time, and what is resident on each node now."""
    since = LedgerEntry.objects.filter(at__gte=now - timedelta(hours=hours)).exclude(node="")
    entries = list(since[:MOST_ENTRIES])[::-1]
    scenes = Node.objects.enabled().exclude(state=Node.State.DOWN).values_list("name", "scene")
    held = {name: frozenset(each["model"] for each in scene.get("residents", ())) for name, scene in scenes}
    return entries, held

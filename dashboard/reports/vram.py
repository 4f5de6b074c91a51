"""The VRAM report: how full, how much of what is free is of use, what loads cost, and what to change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Max, Q, QuerySet, Sum, Window
from django.db.models.functions import Lag

from bridge.models import UsageRollup, VramRollup
from dashboard.cells import NONE
from dashboard.reports import advice
from dashboard.reports.chart import Chart, stacked
from dashboard.reports.names import key_names
from dashboard.reports.report import Asked, Column, Figure, Report, Row, Table, text
from dashboard.reports.spans import Spans
from dashboard.reports.starts import Met, Starts
from scheduler.models import LedgerEntry

GIB = 2**30
LOADS = ("load", "prefetch", "reload")
THRASH = timedelta(minutes=10)  # evicted and back within this
SUMMED = (
    *("samples", "up", "bytes", "total_bytes", "free_bytes", "stranded_bytes", "spilled_bytes"),
    *("predicted_bytes", "measured_bytes", "kv_bytes", "stranded", "pressed", "pinned", "waiting"),
)
LARGEST = ("most_in_flight", "most_ctx", "most_slots", "kv_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What the ledger says of one model, or of one node."""

    loads: int = 0
    seconds: float = 0.0
    failed: int = 0
    evictions: int = 0
    hits: int = 0  # prefetches that somebody came for
    wasted: int = 0  # prefetches that nobody came for


NEVER = Met()


def build(asked: Asked) -> Report:
    spans = Spans.of(asked)
    sums, starts = read(asked, spans), starts_of(asked, spans)
    entries = _entries(asked)
    return Report(
        title="VRAM",
        headline=tuple(_headline(sums, starts)),
        charts=(_chart(asked, spans),),
        tables=(
            _nodes(sums, _ledger(entries, "node")),
            _models(sums, starts, _ledger(entries, "model"), _thrash(entries)),
            _reloads(asked, entries),
            advice.table(spans, [row for row in sums if row["model"]], _of_nodes(sums), starts),
        ),
        notes=lambda: _notes(sums),
    )


def read(asked: Asked, spans: Spans) -> list[dict[str, Any]]:
    """By node and model (empty: the node as a whole), what the samples add up to."""
    rows = VramRollup.objects.filter(spans.rows).order_by()
    if asked.node:
        rows = rows.filter(node=asked.node)
    if asked.model:
        rows = rows.filter(model__in=("", asked.model))
    sums: Any = {name: Sum(name) for name in SUMMED} | {name: Max(name) for name in LARGEST}
    renamed = {f"{name}_": value for name, value in sums.items()}
    return [
        {name.removesuffix("_"): value for name, value in row.items()}
        for row in rows.values("node", "model").annotate(**renamed)
    ]


def _of_nodes(sums: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {row["node"]: row for row in sums if not row["model"]}


def starts_of(asked: Asked, spans: Spans) -> dict[str, dict[str, Met]]:
    """By model and what requests met (warm, cold, prefetched)."""
    usage = UsageRollup.objects.filter(spans.rows, **asked.narrowed()).exclude(load="").order_by()
    found: dict[str, dict[str, Met]] = defaultdict(dict)
    sums: Any = {"n": Sum("requests"), "ms": Sum("queue_ms"), "most": Max("longest_tokens")}
    for model, load, n, ms, most in usage.values_list("model", "load").annotate(**sums):
        found[model][load] = Met(requests=n, waited_ms=ms, longest_tokens=most)
    return found


def _entries(asked: Asked) -> QuerySet[LedgerEntry]:
    entries = LedgerEntry.objects.filter(at__gte=asked.start, at__lt=asked.end).order_by()
    entries = entries.filter(node=asked.node) if asked.node else entries
    return entries.filter(model=asked.model) if asked.model else entries


def _ledger(entries: QuerySet[LedgerEntry], by: str) -> dict[str, Loads]:
    loads = Q(kind__in=LOADS, seconds__isnull=False)
    good = Q(outcome__in=("", "ok", "spilled", "hit", "late", "wasted", "harmful"))
    prefetch = Q(kind="prefetch")
    sums: dict[str, Any] = {
        "loads": Count("pk", filter=loads & good),
        "spent": Sum("seconds", filter=loads),
        "failed": Count("pk", filter=loads & ~good),
        "evictions": Count("pk", filter=Q(kind="evict") & ~Q(outcome="failed")),
        "hits": Count("pk", filter=prefetch & Q(outcome__in=("hit", "late"))),
        "wasted": Count("pk", filter=prefetch & Q(outcome__in=("wasted", "harmful"))),
    }
    names = tuple(sums)
    return {
        row[by]: Loads(**{"seconds" if name == "spent" else name: row[name] or 0 for name in names})
        for row in entries.filter(kind__in=(*LOADS, "evict")).values(by).annotate(**sums)
    }


def _thrash(entries: QuerySet[LedgerEntry]) -> Counter[str]:
    """By model, loads that brought back what had been evicted from the same node shortly before."""
    places: dict[str, Any] = {"partition_by": [F("node"), F("model")], "order_by": [F("at"), F("pk")]}
    moves = entries.filter(Q(kind__in=LOADS) | Q(kind="evict")).annotate(
        kind_before=Window(Lag("kind"), **places), at_before=Window(Lag("at"), **places)
    )
    # Another filter on `kind` would take the evictions away before the windows see them.
    back = moves.filter(kind_before="evict", at__lte=F("at_before") + THRASH)
    return Counter(model for kind, model in back.values_list("kind", "model") if kind in LOADS)


def _headline(sums: Sequence[Mapping[str, Any]], starts: Starts) -> Iterator[Figure]:
    nodes = [row for row in sums if not row["model"]]
    total = sum(row["total_bytes"] for row in nodes)
    stranded = sum(row["stranded_bytes"] for row in nodes)
    spilled = sum(row["spilled_bytes"] for row in nodes)
    samples = sum(row["samples"] for row in nodes)
    cold = sum(by_load.get("cold", NEVER).requests for by_load in starts.values())
    seated = sum(met.requests for by_load in starts.values() for met in by_load.values())
    waited = sum(by_load.get("cold", NEVER).waited_ms for by_load in starts.values()) / 1000
    yield Figure(label="VRAM used", value=_percent(sum(row["bytes"] for row in nodes), total))
    yield Figure(
        label="fragmentation", value=_percent(stranded, total), attention=stranded * 100 > total * 15 > 0
    )
    yield Figure(
        label="spilled, mean",
        value=_gib(spilled / samples) if samples else NONE,
        attention=spilled > samples * GIB / 10,
    )
    yield Figure(label="cold starts", value=_percent(cold, seated))
    yield Figure(label="waited for loads", value=f"{waited:,.0f} s")


def _gib(size: float) -> str:
    return "under 0.1 GiB" if 0 < size < GIB / 10 else f"{size / GIB:,.1f} GiB"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else NONE


def _share(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _chart(asked: Asked, spans: Spans) -> Chart:
    """How VRAM was used: by pinned and other residents, free and of use, free and stranded."""
    rows = VramRollup.objects.filter(spans.bars, model="").order_by()
    rows = rows.filter(node=asked.node) if asked.node else rows
    names = ("used", "stranded", "free")
    series: dict[str, dict[datetime, float]] = {name: defaultdict(float) for name in names}
    totals: dict[datetime, int] = defaultdict(int)
    sums: Any = {f"{name}_": Sum(f"{name}_bytes") for name in ("free", "stranded", "total")}
    sums = {"used_": Sum("bytes")} | sums
    counted: dict[datetime, list[int]] = defaultdict(lambda: [0, 0, 0])
    for start, used, free, stranded, total in rows.values_list("start").annotate(**sums):
        at = spans.bar(start)
        totals[at] += total
        for n, value in enumerate((used, stranded, free - stranded)):
            counted[at][n] += value
    for at, values in counted.items():
        for name, value in zip(names, values, strict=True):
            series[name][at] = 100 * value / totals[at] if totals[at] else 0.0
    fills = {"used": 0, "stranded": 3, "free": 6}
    return stacked(
        "VRAM, in percent of what nodes have", spans.moments(), series, unit="%", fills=fills, most=100
    )


def _nodes(sums: Iterable[Mapping[str, Any]], ledger: Mapping[str, Loads]) -> Table:
    rows: list[Row] = []
    for node, row in sorted(_of_nodes(sums).items()):
        loads, n = ledger.get(node, Loads()), row["samples"]
        rows.append(
            (
                node,
                round(row["total_bytes"] / n / GIB, 2),
                _share(row["bytes"], row["total_bytes"]),
                round(row["free_bytes"] / n / GIB, 2),
                _share(row["stranded_bytes"], row["total_bytes"]),
                _share(row["stranded"], n),
                round(row["spilled_bytes"] / n / GIB, 2),
                loads.loads,
                round(loads.seconds, 1),
                loads.failed,
                loads.evictions,
                _share(n - row["up"], n),
            )
        )
    return Table(
        name="nodes",
        title="Nodes",
        about="Fragmentation is VRAM that is free, and too little for the next demanded model.",
        columns=(
            text("node"),
            Column(name="total_gib", title="VRAM, GiB"),
            Column(name="used_percent", title="used, %"),
            Column(name="free_gib", title="free, GiB"),
            Column(name="fragmentation_percent", title="fragmentation, %"),
            Column(name="stranded_percent", title="of the time, %"),
            Column(name="spilled_gib", title="spilled, GiB"),
            Column(name="loads"),
            Column(name="load_s", title="loading, s"),
            Column(name="failed_loads", title="failed"),
            Column(name="evictions"),
            Column(name="down_percent", title="down, %"),
        ),
        rows=rows,
    )


def _models(
    sums: Iterable[Mapping[str, Any]],
    starts: Starts,
    ledger: Mapping[str, Loads],
    thrash: Mapping[str, int],
) -> Table:
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for row in sums:
        if row["model"]:
            held[row["model"]].update({name: row[name] for name in SUMMED})
    rows: list[Row] = []
    for model in sorted({*held, *starts, *ledger} - {""}):
        met, loads, there = starts.get(model, {}), ledger.get(model, Loads()), held[model]
        cold = met.get("cold", NEVER)
        error = there["measured_bytes"] - there["predicted_bytes"]
        rows.append(
            (
                model,
                round(there["samples"] / 60, 1),
                sum(each.requests for each in met.values()),
                cold.requests,
                round(cold.waited_ms / 1000, 1),
                met.get("prefetched", NEVER).requests,
                loads.loads,
                round(loads.seconds / loads.loads, 2) if loads.loads else None,
                loads.failed,
                thrash.get(model, 0),
                loads.hits,
                loads.wasted,
                _share(error, there["predicted_bytes"]),
                round(there["spilled_bytes"] / there["samples"] / GIB, 2) if there["samples"] else None,
            )
        )
    rows.sort(key=lambda row: -float(row[4] or 0))  # type: ignore[arg-type]
    return Table(
        name="models",
        title="Models",
        about=f"Thrash counts loads of what the same node had evicted within {THRASH.seconds // 60} minutes. "
        "The estimate's error is measured against predicted bytes.",
        columns=(
            text("model"),
            Column(name="resident_h", title="resident, h"),
            Column(name="requests"),
            Column(name="cold_starts", title="cold starts"),
            Column(name="waited_s", title="waited, s"),
            Column(name="prefetched", title="met a prefetch"),
            Column(name="loads"),
            Column(name="mean_load_s", title="a load, s"),
            Column(name="failed_loads", title="failed"),
            Column(name="thrash"),
            Column(name="prefetch_hits", title="prefetch hits"),
            Column(name="prefetch_wasted", title="wasted"),
            Column(name="estimate_error_percent", title="estimate error, %"),
            Column(name="spilled_gib", title="spilled, GiB"),
        ),
        rows=rows,
    )


def _reloads(asked: Asked, entries: QuerySet[LedgerEntry]) -> Table:
    """Who made residents load anew, or leave without the scheduler's will."""
    blamed = entries.filter(Q(kind="reload") | Q(kind="evict", cause__in=("node", "foreign", "spill")))
    blamed = blamed.filter(key=asked.key) if asked.key else blamed
    by = ("kind", "cause", "model", "node", "key")
    counted = blamed.values_list(*by).annotate(n=Count("pk"), spent=Sum("seconds"), mean=Avg("seconds"))
    found = list(counted.order_by("-n")[:1000])
    names = key_names(row[4] for row in found)
    rows: list[Row] = [
        (kind, CAUSES.get(cause, cause), model, node, key, names.get(key, ""), n, round(spent or 0.0, 1))
        for kind, cause, model, node, key, n, spent, _ in found
    ]
    return Table(
        name="reloads",
        title="Reloads, and who is to blame",
        columns=(
            text("what"),
            text("cause"),
            text("model"),
            text("node"),
            text("key"),
            text("name"),
            Column(name="times"),
            Column(name="seconds", title="seconds lost"),
        ),
        rows=rows,
    )


CAUSES = {
    "foreign": "someone who talks to the node directly",
    "node": "the node, to make room by its own rules",
    "spill": "it did not fit",
    "reload": "a request that needed more context",
}


def _notes(sums: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not sums:
        yield "There are no VRAM samples of this period: a running scheduler takes one each minute."
    unknown = sorted(node for node, row in _of_nodes(sums).items() if not row["total_bytes"])
    if unknown:
        yield f"Nobody knows the VRAM of {', '.join(unknown[:5])}: enter it on the node's page."

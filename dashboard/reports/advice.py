"""What to change about a model on a node, each with its reason and numbers. Pure but for `table`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg

from bridge.models import ModelGaps
from dashboard.reports.report import Row, Table, text
from dashboard.reports.spans import Spans
from dashboard.reports.starts import Starts
from scheduler.models import LedgerEntry
from scheduler.policy.economy import FEWEST, Gaps, Keep, Terms, advise, rounded_s

GIB = 2**30
ENOUGH_SAMPLES = 60  # an hour of residence
ENOUGH_REQUESTS = 50
ROOM = 1.2  # of the longest request, kept as context
KV_MATTERS = 0.2  # share of a resident that its KV cache has to be
SHORT = 0.05  # of the time without room for the next model, from which saving VRAM is worth advice
Q8_SAVES = 1 - 34 / 64  # q8_0 against f16: 34 bytes for 32 elements of 2 bytes
AS_NOW = "as long as there is room"  # what the scheduler does by itself
WORTH = 1.05  # what keeping it for ever has to cost, against the best time, before a time is advised
WAITING_COUNTS = 1.0  # GPU-seconds that a second of somebody's waiting is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A model on a node over the period; bytes are means."""

    model: str
    node: str
    samples: int
    bytes: float
    kv_bytes: float
    num_ctx: int
    slots: int
    kv_type: str
    most_in_flight: int
    waiting: bool  # requests waited for this model meanwhile
    requests: int
    longest_tokens: int
    node_bytes: float
    free_bytes: float
    pressure: float  # share of the time in which the next demanded model had no room on the node
    load_s: float | None
    gaps: Gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    what: str
    now: str
    better: str
    why: str


def of(seen: Seen) -> Iterator[Advice]:
    """What to change; nothing where too little was seen."""
    if seen.samples >= ENOUGH_SAMPLES:
        yield from _bucket(seen)
        yield from _slots(seen)
        yield from _kv_type(seen)
    if (keep := keep_time(seen)) is not None and kept(keep) != AS_NOW:
        yield Advice(what="keep time", now=AS_NOW, better=kept(keep), why=why(seen, keep))


def _bucket(seen: Seen) -> Iterator[Advice]:
    """The smallest power of two with room for the longest request."""
    if seen.requests < ENOUGH_REQUESTS or not seen.longest_tokens:
        return
    better = 2048
    while better < seen.longest_tokens * ROOM:
        better *= 2
    if better < seen.num_ctx:
        saved = seen.kv_bytes * (1 - better / seen.num_ctx)
        gain = f", which frees about {saved / GIB:.1f} GiB" if saved else ""
        yield Advice(
            what="context bucket",
            now=f"{seen.num_ctx:,}",
            better=f"{better:,}",
            why=f"The longest of {seen.requests:,} requests had {seen.longest_tokens:,} tokens{gain}.",
        )


def _slots(seen: Seen) -> Iterator[Advice]:
    most = seen.most_in_flight
    of_one = seen.kv_bytes / seen.slots if seen.slots else 0.0
    if most < seen.slots and seen.slots > 1 and seen.requests >= ENOUGH_REQUESTS:
        better = max(most, 1)
        yield Advice(
            what="slots",
            now=str(seen.slots),
            better=str(better),
            why=f"No sample saw more than {most} at once; {of_one * (seen.slots - better) / GIB:.1f} GiB of "
            "KV cache lie there for the others.",
        )
    elif most >= seen.slots and seen.waiting and 0 < of_one <= seen.free_bytes:
        yield Advice(
            what="slots",
            now=str(seen.slots),
            better=str(seen.slots + 1),
            why=f"All were busy while requests waited, and {seen.free_bytes / GIB:.1f} GiB are free: "
            f"one more takes {of_one / GIB:.1f} GiB.",
        )


def _kv_type(seen: Seen) -> Iterator[Advice]:
    share = seen.kv_bytes / seen.bytes if seen.bytes else 0.0
    if seen.kv_type == "f16" and share >= KV_MATTERS and seen.pressure >= SHORT:
        yield Advice(
            what="KV cache type",
            now="f16",
            better="q8_0",
            why=f"The KV cache is {share:.0%} of it, and the node lacked room for the next model "
            f"{seen.pressure:.0%} of the time: q8_0 frees {seen.kv_bytes * Q8_SAVES / GIB:.1f} GiB. It is a "
            "setting of the whole node.",
        )


def keep_time(seen: Seen) -> Keep | None:
    """How long to keep it idle; None where nobody knows what a load takes, or no gap was seen."""
    if seen.load_s is None or not seen.gaps.total:
        return None
    share = seen.bytes / seen.node_bytes if seen.node_bytes else 1.0
    return advise(
        seen.gaps, Terms(rent=min(share, 1.0) * seen.pressure, reload=seen.load_s * (1 + WAITING_COUNTS))
    )


def kept(keep: Keep) -> str:
    """A keep time for people."""
    if keep.keep_s is None or (keep.learned and keep.cost_always <= keep.cost * WORTH):
        return AS_NOW
    if keep.keep_s == 0:
        return "let it go at once"
    seconds = rounded_s(keep.keep_s)
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def why(seen: Seen, keep: Keep) -> str:
    if keep.keep_s is None and not seen.pressure:
        return "No other model lacked room on this node: keeping it costs nothing."
    if not keep.learned:
        return (
            f"Only {keep.gaps} gaps were seen (at least {FEWEST} are wanted): the time after which idle VRAM "
            "has cost as much as a load."
        )
    return (
        f"Over {keep.gaps:,} gaps this costs {keep.cost:.1f} GPU-seconds a gap; {keep.cost_always:.1f} when "
        f"it always stays, {keep.cost_never:.1f} when it never does."
    )


# -- from the sums


def seen_of(
    spans: Spans,
    rows: Iterable[Mapping[str, Any]],
    nodes: Mapping[str, Mapping[str, Any]],
    starts: Starts,
) -> list[Seen]:
    """`rows`: by node and model, what the samples add up to (vram.read); `nodes`: by node."""
    gaps = gaps_of(spans)
    loads = load_seconds(spans)
    found = []
    for row in rows:
        node, model, n = nodes.get(row["node"]), row["model"], row["samples"]
        if node is None or not n:
            continue
        met = starts.get(model, {}).values()
        found.append(
            Seen(
                model=model,
                node=row["node"],
                samples=n,
                bytes=row["bytes"] / n,
                kv_bytes=row["kv_bytes"] / n,
                num_ctx=row["most_ctx"],
                slots=row["most_slots"],
                kv_type=row["kv_type"],
                most_in_flight=row["most_in_flight"],
                waiting=row["waiting"] > 0,
                requests=sum(each.requests for each in met),
                longest_tokens=max((each.longest_tokens for each in met), default=0),
                node_bytes=node["total_bytes"] / node["samples"],
                free_bytes=node["free_bytes"] / node["samples"],
                pressure=node["pressed"] / node["samples"],
                load_s=loads.get(model),
                gaps=gaps.get(model, Gaps.none()),
            )
        )
    return found


def gaps_of(spans: Spans) -> dict[str, Gaps]:
    """By model, the gaps that ended in the period."""
    rows = ModelGaps.objects.filter(start__gte=spans.start, start__lt=spans.end)
    found: dict[str, Gaps] = defaultdict(Gaps.none)
    for name, bins in rows.values_list("model", "gaps"):
        found[name].merge(bins)
    return found


def load_seconds(spans: Spans) -> dict[str, float]:
    """By model, what a load took."""
    loads = LedgerEntry.objects.filter(
        at__gte=spans.start, at__lt=spans.end, kind__in=("load", "prefetch", "reload"), seconds__gt=0
    ).exclude(outcome__in=("out_of_memory", "hung", "node_down"))
    return dict(loads.order_by().values_list("model").annotate(mean=Avg("seconds")))


def table(
    spans: Spans,
    rows: Iterable[Mapping[str, Any]],
    nodes: Mapping[str, Mapping[str, Any]],
    starts: Starts,
) -> Table:
    told: list[Row] = [
        (seen.model, seen.node, each.what, each.now, each.better, each.why)
        for seen in sorted(seen_of(spans, rows, nodes, starts), key=lambda seen: (seen.model, seen.node))
        for each in of(seen)
    ]
    return Table(
        name="advice",
        title="Advice",
        about="From what was seen in this period; another one may say otherwise.",
        columns=(
            text("model"),
            text("node"),
            text("what"),
            text("now"),
            text("better"),
            text("why"),
        ),
        rows=told,
    )

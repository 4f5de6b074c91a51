"""What happened to one request and when, from its usage record and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet

from bridge.models import Outcome, UsageRecord
from dashboard.timeline import ARRIVED, ARRIVES
from scheduler.models import LedgerEntry

ACTS = {"evict": "Evict", "load": "Load", "prefetch": "Prefetch", "reload": "Reload"}
SOON_MS = 20  # a shorter wait is no wait
CLOCKS = timedelta(seconds=2)  # how far apart the clocks of bridge and scheduler may be
MOST = 40  # ledger entries looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of the request's life, in milliseconds from its arrival."""

    name: str
    look: str  # the class of its bar
    start_ms: float
    end_ms: float
    said: str = ""

    @property
    def took_ms(self) -> float:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A phase as a rectangle, in thousandths of the request's life."""

    phase: Phase
    x: float
    width: float


def entries_about(record: UsageRecord) -> list[LedgerEntry]:
    """What the scheduler did on its node, or for its model, from before it came until it had its seat."""
    until = record.at + timedelta(milliseconds=record.queue_ms) + CLOCKS
    about: QuerySet[LedgerEntry] = LedgerEntry.objects.filter(at__lte=until)
    if record.node:
        meanwhile = Q(node=record.node, at__gte=record.at - CLOCKS)
    else:
        until = record.at + timedelta(milliseconds=record.total_ms) + CLOCKS
        about = LedgerEntry.objects.filter(at__lte=until)
        meanwhile = Q(model=record.model, at__gte=record.at - CLOCKS)
    return list(about.filter(meanwhile)[:MOST])[::-1]


def brought_by(record: UsageRecord) -> LedgerEntry | None:
    """The load that its resident came with: the last one before it had its seat."""
    if not record.node:
        return None
    until = record.at + timedelta(milliseconds=record.queue_ms) + CLOCKS
    loads = LedgerEntry.objects.filter(model=record.model, node=record.node, kind__in=ARRIVES, at__lte=until)
    return loads.filter(outcome__in=ARRIVED).first()


def phases(record: UsageRecord, entries: Iterable[LedgerEntry]) -> list[Phase]:
    """Line, what the scheduler did meanwhile, prefill, decode: in the order in which they began.

    Nodes tell how long prefill and decode took, and not when they began: prefill ends with the first token
    of a stream, and decode ends with the request.
    """
    seat_ms = float(record.queue_ms)
    found = [Phase(name="In line", look="line", start_ms=0, end_ms=seat_ms)] if seat_ms >= SOON_MS else []
    found += _acts(record, entries, record.queue_ms or record.total_ms)
    if record.outcome != Outcome.REFUSED:
        found += _at_the_node(record, seat_ms)
    return sorted(found, key=lambda phase: (phase.start_ms, phase.end_ms))


def _acts(record: UsageRecord, entries: Iterable[LedgerEntry], until_ms: float) -> Iterator[Phase]:
    """The scheduler's acts that overlap the wait. An entry is written when its act is done."""
    for entry in entries:
        end_ms = (entry.at - record.at).total_seconds() * 1000
        start_ms = end_ms - (entry.seconds or 0) * 1000
        if entry.kind not in ACTS or end_ms <= 0 or start_ms >= until_ms:
            continue
        yield Phase(
            name=f"{ACTS[entry.kind]} {entry.model}",
            look="evict" if entry.kind == "evict" else "load",
            start_ms=max(start_ms, 0),
            end_ms=min(end_ms, until_ms),
            said=entry.reason,
        )


def _at_the_node(record: UsageRecord, seat_ms: float) -> Iterator[Phase]:
    total_ms = max(float(record.total_ms), seat_ms)
    if record.stream and record.ttft_ms is not None:
        first_ms = min(max(float(record.ttft_ms), seat_ms), total_ms)
    else:
        first_ms = max(total_ms - record.eval_ms, seat_ms)
    if record.ttft_ms is None:
        yield Phase(name="At the node, no token", look="node", start_ms=seat_ms, end_ms=total_ms)
        return
    prefill_ms = max(first_ms - record.prompt_eval_ms, seat_ms)
    if prefill_ms - seat_ms >= SOON_MS:
        yield Phase(name="To the node", look="node", start_ms=seat_ms, end_ms=prefill_ms)
    yield Phase(
        name="Prefill",
        look="prefill",
        start_ms=prefill_ms,
        end_ms=first_ms,
        said=_tokens(record.prompt_tokens, record.prompt_eval_ms, record.cached_tokens),
    )
    if record.output_tokens:
        said = _tokens(record.output_tokens, record.eval_ms, 0)
        yield Phase(name="Decode", look="decode", start_ms=first_ms, end_ms=total_ms, said=said)


def _tokens(count: int, took_ms: int, cached: int) -> str:
    said = f"{count:,} tokens"
    if cached:
        said += f", {cached:,} of them cached"
    return said + (
        f", {(count - cached) / took_ms * 1000:,.0f} a second" if took_ms and count > cached else ""
    )


def bars(found: Iterable[Phase], total_ms: int) -> list[Bar]:
    """As rectangles; the shortest can still be seen."""
    whole = max(total_ms, 1)
    return [
        Bar(
            phase=phase,
            x=round(min(phase.start_ms / whole * 1000, 997), 2),
            width=round(max(min(phase.end_ms / whole, 1) * 1000 - phase.start_ms / whole * 1000, 3), 2),
        )
        for phase in found
    ]


def why_there(record: UsageRecord) -> str:
    """Why this node, or why none, in a sentence."""
    if not record.node:
        return "It never had a seat, so no node saw it."
    waited = f"{record.queue_ms / 1000:.1f} s"
    held = f"{record.model} was resident on {record.node}"
    if record.load == "cold":
        return f"No resident could serve it when it came: it waited {waited} for a load on {record.node}."
    if record.load == "prefetched":
        return f"{held}, loaded ahead of demand; this was its first request."
    if record.queue_ms >= SOON_MS:
        return f"{held}; it waited {waited} until a slot was free."
    return f"{held} with a free slot when it came."


# What the reasons of refusals and failures mean, for who reads one for the first time.
REASONS = {
    "rate": "The key had used up its requests of this minute.",
    "tokens": "The key had used up its tokens of this minute.",
    "parallel": "The key had as many requests in flight as it may.",
    "budget": "The key's budget of this period is used up, or reserved by requests in flight.",
    "queue_full": "The line was at its bound.",
    "queue_shed": "The line was over 80 % of its bound, and the request's priority was among the lowest.",
    "deadline": "It waited as long as a request may.",
    "no_node": "No node that answers holds the model.",
    "no_room": "It fits on no node beside what is pinned there.",
    "load_failed": "The node could not load the model.",
    "no_scheduler": "The model was not resident, and no scheduler was there to load it.",
    "draining": "The bridge was being stopped.",
    "client_left": "The client closed its connection.",
    "client_stalled": "The client did not read what it was sent.",
    "operator": "An operator cancelled it.",
    "node_timeout": "The node was silent for too long.",
    "node_failed": "The node broke the answer off.",
    "node_error": "The node answered with an error.",
    "node_garbage": "The node sent what is no answer.",
    "length": "The answer ended at the most tokens that it may have.",
    "stop": "The model ended the answer.",
}

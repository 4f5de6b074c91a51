"""What each hour cost whom: from samples, usage records and the ledger to rows that add up (CostRollup).

An hour is worked out as a whole and its rows are replaced, so that doing it twice changes nothing:
1. while it runs, and once more shortly after its end;
2. when records of it come in late (CostHour.changes moved);
3. while a prefetch of it has no outcome, now and then for a day: it may turn out wasted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q

from bridge.accounting import days, retention, vram
from bridge.accounting.gaps import IdleGaps
from bridge.accounting.locks import turn
from bridge.accounting.sums import AN_HOUR
from bridge.models import ApiKey, CostHour, CostRollup, Outcome, UsageRecord, UsageRollup
from bridge.models.rollups import HOUR
from scheduler.models import LedgerEntry, Node, NodePrice, NodeSample, Revision
from scheduler.models.price import price_at
from scheduler.policy.cost import (
    EMPTY,
    UNSEEN,
    Activity,
    Held,
    Meter,
    Owner,
    Price,
    Served,
    phases,
    split,
)

COSTS = "costs"  # name of the mark, and topic whose revision number moves with every change of a cost
SETTLES_AFTER = timedelta(minutes=2)  # records and samples of an hour are in the database by then
UNSETTLED_FOR = timedelta(days=1)
UNSETTLED_EVERY = timedelta(minutes=30)
STRETCH = timedelta(minutes=5)  # of which the requests are held in memory at once
SAMPLE_LASTS = timedelta(seconds=150)  # so long a sample speaks for the node; two are a minute apart
LONGEST = timedelta(hours=1)  # what of a request or load lies longer after its beginning is not seen
GOOD_LOADS = frozenset({"", "ok", "spilled", "hit", "late"})
LOADS = ("load", "prefetch", "reload", "warm")
REQUEST = (
    "node",
    "at",
    "queue_ms",
    "prompt_eval_ms",
    "eval_ms",
    "total_ms",
    "outcome",
    "model",
    "key",
    "team",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A node's sample, and how long it speaks for the node."""

    start: datetime
    end: datetime
    row: NodeSample

    def residents(self) -> list[Held]:
        start, end = us(self.start), us(self.end)
        return [
            Held(
                start=start,
                end=end,
                model=held["model"],
                bytes=held["bytes"],
                pin=held["pin"],
                team=held["team"],
            )
            for held in self.row.residents
        ]


@dataclass(slots=True, kw_only=True)
class Facts:
    """What an hour is worked out from, requests aside."""

    seen: Mapping[str, Sequence[Seen]]  # by node
    loads: Mapping[str, Sequence[Activity]]  # by node
    prices: Mapping[str, Sequence[tuple[datetime, Price]]]
    watts: Mapping[str, int]  # by node, assumed
    billed: frozenset[str]  # nodes that cost something though nothing is known of them
    unsettled: bool
    samples: Sequence[NodeSample]  # of the hour itself
    meters: dict[str, Meter] = field(default_factory=lambda: defaultdict(Meter))


def due(now: datetime) -> list[datetime]:
    """The hours that have to be worked out, newest first: budgets wait for those.

    One that was worked out is not done again once its samples are gone, and none whose sums are gone is: its
    day would lose what the other hours had."""
    _begin(now)
    stale = ~Q(changes=F("worked_changes"))
    unfinished = Q(worked_at__lt=F("start") + AN_HOUR + SETTLES_AFTER)
    open_ = Q(unsettled=True, start__gt=now - UNSETTLED_FOR, worked_at__lt=now - UNSETTLED_EVERY)
    again = Q(start__gte=retention.kept_since(now, settings.KEEP_SAMPLES_DAYS)) & (stale | unfinished | open_)
    since = retention.kept_since(now, settings.KEEP_USAGE_DAYS)
    hours = CostHour.objects.filter(again | Q(worked_at=None), start__gte=since, start__lte=now)
    return list(hours.order_by("-start").values_list("start", flat=True))


def _begin(now: datetime) -> None:
    """A row for every hour since the last one: nodes cost money while nobody asks them for anything."""
    newest = CostHour.objects.aggregate(newest=Max("start"))["newest"]
    first = newest or NodeSample.objects.order_by("at").values_list("at", flat=True).first() or now
    hour, missing = beginning(first), list[CostHour]()
    while hour <= now:
        missing.append(CostHour(start=hour))
        hour += AN_HOUR
    CostHour.objects.bulk_create(missing, ignore_conflicts=True)


def work_out(hour: datetime, now: datetime) -> bool:
    """Replace the rows of an hour; False while another process does."""
    with turn(COSTS) as mark:
        if mark is None:
            return False
        row = CostHour.objects.get(start=hour)
        end = min(hour + AN_HOUR, now)
        facts, gaps = read(hour, end), IdleGaps.before(hour)
        at = hour
        while at < end:
            until = min(at + STRETCH, end)
            requests = list(_requests(at, until, longest(hour)))
            gaps.take(requests, at)
            _stretch(facts, at, until, requests)
            at = until
        with transaction.atomic():
            _write(hour, facts.meters)
            gaps.write(hour)
            vram.write(hour, facts.samples)
            CostHour.objects.filter(pk=row.pk).update(
                worked_changes=row.changes, worked_at=now, unsettled=facts.unsettled
            )
            Revision.objects.bump(COSTS)
        return True


def read(start: datetime, end: datetime) -> Facts:
    samples = list(NodeSample.objects.filter(at__gte=start - SAMPLE_LASTS, at__lt=end).order_by("node", "at"))
    entries = list(
        LedgerEntry.objects.filter(
            kind__in=LOADS, seconds__gt=0, at__gte=start, at__lt=end + LONGEST
        ).exclude(node="")
    )
    seen_before = NodeSample.objects.filter(node=OuterRef("name"), at__lt=end)
    known = Node.objects.enabled().filter(Exists(seen_before)).values_list("name", flat=True)
    return Facts(
        seen=_seen(samples, end),
        loads=_loads(entries),
        prices=NodePrice.objects.histories(),
        watts={name: watts or 0 for name, watts in Node.objects.values_list("name", "watts")},
        billed=frozenset(known),
        samples=[sample for sample in samples if sample.at >= start],
        unsettled=any(entry.kind == "prefetch" and not entry.outcome for entry in entries),
    )


def _seen(samples: Iterable[NodeSample], end: datetime) -> dict[str, list[Seen]]:
    """Each sample speaks until the next one, and not for long without one. A node that was down is unseen."""
    by_node: dict[str, list[NodeSample]] = defaultdict(list)
    for sample in samples:
        by_node[sample.node].append(sample)
    return {
        node: [
            Seen(start=row.at, end=min(after, row.at + SAMPLE_LASTS), row=row)
            for row, after in zip(rows, [*(r.at for r in rows[1:]), end], strict=True)
            if row.up
        ]
        for node, rows in by_node.items()
    }


def _loads(entries: Sequence[LedgerEntry]) -> dict[str, list[Activity]]:
    """The ledger tells of a load when it has ended."""
    teams = dict(
        ApiKey.objects.filter(public_id__in={e.key for e in entries}).values_list("public_id", "team")
    )
    found: dict[str, list[Activity]] = defaultdict(list)
    for entry in entries:
        good = entry.outcome in GOOD_LOADS
        owner = Owner(
            part="load" if good else "wasted",
            model=entry.model,
            key=entry.key[:8],
            team=teams.get(entry.key, ""),
        )
        end = us(entry.at)
        seconds = min(entry.seconds or 0.0, LONGEST.total_seconds())
        found[entry.node].append(Activity(start=end - round(seconds * 1e6), end=end, owner=owner))
    return found


def longest(hour: datetime) -> timedelta:
    """How long before an hour a request may have come that still ran in it."""
    sums = UsageRollup.objects.filter(span=HOUR, start__in=(hour - AN_HOUR, hour))
    most = sums.aggregate(most=Max("longest_ms"))["most"] or 0
    return min(timedelta(milliseconds=most), LONGEST)


def _requests(start: datetime, end: datetime, before: timedelta) -> Iterator[tuple[str, Served]]:
    """(node, request) of what may have run then, in order of arrival."""
    records = UsageRecord.objects.filter(at__gte=start - before, at__lt=end).exclude(node="").order_by("at")
    for node, at, queue, prefill, decode, total, outcome, model, key, team in records.values_list(
        *REQUEST
    ).iterator(chunk_size=5000):
        yield (
            node,
            Served(
                at=us(at),
                queue=queue * 1000,
                prefill=prefill * 1000,
                decode=decode * 1000,
                total=total * 1000,
                good=outcome == Outcome.ANSWERED,
                model=model,
                key=key,
                team=team,
            ),
        )


def _stretch(facts: Facts, start: datetime, end: datetime, requests: Iterable[tuple[str, Served]]) -> None:
    """Five minutes of all nodes."""
    running: dict[str, list[Activity]] = defaultdict(list)
    for node, request in requests:
        running[node] += [each for each in phases(request) if each.end > us(start)]
    for node, loads in facts.loads.items():
        running[node] += [load for load in loads if load.end > us(start) and load.start < us(end)]
    for node in {*facts.seen, *facts.billed, *running}:
        _of_node(facts, node, start, end, running.get(node, []))


def _of_node(facts: Facts, node: str, start: datetime, end: datetime, running: list[Activity]) -> None:
    """Window by window: each sample's, and what lies between."""
    meter, history = facts.meters[node], facts.prices.get(node, ())
    for begin, stop, seen in _windows(facts.seen.get(node, ()), start, end):
        price = price_at(history, begin)
        shares = split(
            us(begin),
            us(stop),
            residents=seen.residents() if seen else (),
            activities=running,
            total_bytes=seen.row.total_bytes if seen else 0,
        )
        if seen is None and EMPTY in shares:
            shares[UNSEEN] = shares.pop(EMPTY)
        watts = seen.row.watts if seen else None
        meter.add(shares, price, watts=watts, assumed=facts.watts.get(node, 0))


def _windows(
    seen: Sequence[Seen], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, Seen | None]]:
    """[start, end) cut at the samples, without a hole."""
    at = start
    for each in seen:
        begin, stop = max(each.start, at), min(each.end, end)
        if begin >= stop:
            continue
        if begin > at:
            yield at, begin, None
        yield begin, stop, each
        at = stop
    if at < end:
        yield at, end, None


def _write(hour: datetime, meters: Mapping[str, Meter]) -> None:
    CostRollup.objects.filter(span=HOUR, start=hour).delete()
    rows = [
        _row(hour, node, owner, us_, micros, meter.energy[owner])
        for node, meter in meters.items()
        for (owner, us_), micros in zip(meter.shares.items(), meter.costs().values(), strict=True)
    ]
    CostRollup.objects.bulk_create(rows, batch_size=500)
    day = hour.replace(hour=0)
    days.fold(
        CostRollup,
        day,
        by=("node", "part", "model", "key", "team", "pin"),
        added=("gpu_us", "micros", "joules"),
    )


def _row(hour: datetime, node: str, owner: Owner, us_: int, micros: int, nanojoules: int) -> CostRollup:
    return CostRollup(
        span=HOUR,
        start=hour,
        node=node[:64],
        part=owner.part,
        model=owner.model,
        key=owner.key,
        team=owner.team,
        pin=owner.pin[:64],
        gpu_us=us_,
        micros=micros,
        joules=nanojoules // 10**9,
    )


def us(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def beginning(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

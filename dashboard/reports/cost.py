"""The cost report: whose GPU-seconds, at what price, and what the same tokens would cost elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from bridge.models import AuditEvent, CostRollup, Team, UsageRollup
from dashboard.cells import NONE
from dashboard.reports import elsewhere, money
from dashboard.reports.chart import Chart, stacked
from dashboard.reports.names import NOBODY, key_names
from dashboard.reports.report import Asked, Column, Figure, Report, Row, Table, Value, text
from dashboard.reports.spans import Spans
from scheduler.models import NodePrice
from scheduler.policy.cost import PARTS, US

HOUR_US = 3600 * US
BUSY = ("prefill", "decode", "load")
PART_TITLES = {
    "prefill": "reading prompts",
    "decode": "generating",
    "load": "loading",
    "wasted": "wasted",
    "idle_pinned": "idle, pinned",
    "idle_evictable": "idle, evictable",
    "idle_empty": "idle, empty",
    "unseen": "unseen",
}
FILLS = {title: number for number, title in enumerate(PART_TITLES.values())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one key, team, model, pin and part had together."""

    key: str
    team: str
    model: str
    part: str
    pin: str
    us: int
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What was served meanwhile."""

    key: str
    team: str
    model: str
    load: str  # what the requests met: warm, cold, prefetched; empty: no seat
    requests: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    queue_ms: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Everything that the tables are made of."""

    asked: Asked
    spans: Spans
    shares: Sequence[Share]
    tokens: Sequence[Tokens]
    days: Mapping[tuple[str, str], Mapping[str, int]]  # by (day, node): millionths by part
    bars: Mapping[str, Mapping[datetime, float]]  # by part: GPU-hours by moment, of days

    @property
    def us(self) -> int:
        return sum(share.us for share in self.shares)

    @property
    def micros(self) -> int:
        return sum(share.micros for share in self.shares)

    @property
    def total(self) -> Decimal:
        """The bills of all days of all nodes, each to the cent: what every table adds up to."""
        return sum((money.amount(sum(by_part.values())) for by_part in self.days.values()), Decimal("0.00"))

    @property
    def served(self) -> int:
        return sum(each.tokens for each in self.tokens)


def build(asked: Asked) -> Report:
    bill = read(asked)
    return Report(
        title="Cost",
        headline=tuple(_headline(bill)),
        charts=(_chart(bill),),
        tables=(
            _parts(bill),
            _days(bill),
            _keys(bill),
            _teams(bill),
            _models(bill),
            _pins(bill),
            elsewhere.hosted(bill),
            elsewhere.before(bill, read),
        ),
        notes=lambda: _notes(bill),
    )


def read(asked: Asked) -> Bill:
    """In three queries."""
    spans = Spans.of(asked)
    costs = CostRollup.objects.filter(spans.rows, **asked.narrowed()).order_by()
    sums: dict[str, Any] = {"us": Sum("gpu_us"), "cost": Sum("micros")}
    by = ("key", "team", "model", "part", "pin")
    shares = [
        Share(key=key, team=team, model=model, part=part, pin=pin, us=us, micros=cost)
        for key, team, model, part, pin, us, cost in costs.values_list(*by).annotate(**sums)
    ]
    days: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    bars: dict[str, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    for start, node, part, us, cost in costs.values_list("start", "node", "part").annotate(**sums):
        days[f"{start:%Y-%m-%d}", node][part] += cost
        bars[part][spans.bar(start)] += us / HOUR_US
    tokens = _tokens(asked, spans)
    return Bill(asked=asked, spans=spans, shares=shares, tokens=tokens, days=days, bars=bars)


def _tokens(asked: Asked, spans: Spans) -> list[Tokens]:
    names = ("requests", "prompt_tokens", "cached_tokens", "output_tokens", "queue_ms")
    usage = UsageRollup.objects.filter(spans.rows, **asked.narrowed()).order_by()
    sums: dict[str, Any] = {f"{name}_sum": Sum(name) for name in names}
    rows = usage.values_list("key", "team", "model", "load").annotate(**sums)
    return [
        Tokens(
            key=key,
            team=team,
            model=model,
            load=load,
            requests=requests,
            prompt_tokens=prompt,
            cached_tokens=cached,
            output_tokens=output,
            queue_ms=queue_ms,
        )
        for key, team, model, load, requests, prompt, cached, output, queue_ms in rows
    ]


def _headline(bill: Bill) -> Iterator[Figure]:
    busy = sum(share.us for share in bill.shares if share.part in BUSY)
    wasted = sum(share.us for share in bill.shares if share.part == "wasted")
    yield Figure(label="bill", value=money.told(bill.total))
    yield Figure(label="GPU-hours", value=f"{bill.us / HOUR_US:,.1f}")
    yield Figure(label="at work", value=percent(busy, bill.us))
    yield Figure(label="wasted", value=percent(wasted, bill.us), attention=wasted * 10 > max(bill.us, 1))
    yield Figure(label="tokens", value=f"{bill.served:,}")
    each = money.per_million(bill.micros, bill.served)
    yield Figure(label="a million tokens", value=NONE if each is None else money.told(each))


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else NONE


def share_of(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _chart(bill: Bill) -> Chart:
    bars = _hours(bill) if bill.spans.by_hour else bill.bars
    series = {title: bars.get(part, {}) for part, title in PART_TITLES.items()}
    return stacked("GPU-hours by part", bill.spans.moments(), series, unit="GPU-hours", fills=FILLS)


def _hours(bill: Bill) -> Mapping[str, Mapping[datetime, float]]:
    """By part, GPU-hours of each hour."""
    bars: dict[str, dict[datetime, float]] = defaultdict(dict)
    rows = CostRollup.objects.filter(bill.spans.bars, **bill.asked.narrowed()).order_by()
    for start, part, us in rows.values_list("start", "part").annotate(us=Sum("gpu_us")):
        bars[part][start] = us / HOUR_US
    return bars


# -- tables

MONEY = Column(name="cost", title="cost")


def _total(values: Mapping[str, Value]) -> Callable[[], Mapping[str, Value]]:
    return lambda: values


def _parts(bill: Bill) -> Table:
    us, micros = _by(bill.shares, "part")
    names = [part for part in PARTS if us.get(part)]
    costs = money.amounts([micros[part] for part in names], bill.total)
    rows: list[Row] = [
        (part, PART_TITLES[part], round(us[part] / US, 3), share_of(us[part], bill.us), cost)
        for part, cost in zip(names, costs, strict=True)
    ]
    columns = (text("part"), text("meaning"), Column(name="gpu_s", title="GPU-seconds"))
    return Table(
        name="parts",
        title="Parts of the bill",
        columns=(*columns, Column(name="share_percent", title="%"), MONEY),
        rows=rows,
        totals=_total({"gpu_s": round(bill.us / US, 3), "cost": bill.total}),
    )


def _by(shares: Iterable[Share], *names: str) -> tuple[dict[Any, int], dict[Any, int]]:
    """GPU-microseconds and millionths by one column, or by several."""
    us: dict[Any, int] = defaultdict(int)
    micros: dict[Any, int] = defaultdict(int)
    for share in shares:
        values = tuple(getattr(share, name) for name in names)
        name = values if len(values) > 1 else values[0]
        us[name] += share.us
        micros[name] += share.micros
    return us, micros


def _days(bill: Bill) -> Table:
    """Each day of each node: its parts add up to its bill to the cent."""
    total = dict.fromkeys((*PARTS, "total"), Decimal(0))
    rows: list[Row] = []
    for (day, node), by_part in sorted(bill.days.items()):
        costs = money.amounts([by_part.get(part, 0) for part in PARTS])
        whole = sum(costs, Decimal(0))
        rows.append((day, node, *costs, whole))
        for name, cost in zip((*PARTS, "total"), (*costs, whole), strict=True):
            total[name] += cost
    columns = [Column(name=part, title=PART_TITLES[part]) for part in PARTS]
    return Table(
        name="days",
        title="Days",
        about="The parts of a node's day add up to its bill.",
        columns=(text("day"), text("node"), *columns, Column(name="total", title="bill")),
        rows=rows,
        totals=_total(total),
    )


def _keys(bill: Bill) -> Table:
    """What each key caused; the rest is nobody's: idle GPUs, loads without a request, what was unseen."""
    names = key_names(share.key for share in bill.shares)
    return _split(
        bill,
        "keys",
        "Keys",
        ("key", "team"),
        lambda key, team: (key, names.get(key, "idle pins" if team else NOBODY), team),
        KEYED,
    )


KEYED = (text("key"), text("name"), text("team"))


def _teams(bill: Bill) -> Table:
    """A team pays for what its keys caused, and for its pins while nobody uses them."""
    budgets = dict(Team.objects.exclude(budget_money_month=None).values_list("name", "budget_money_month"))
    table = _split(
        bill, "teams", "Teams", ("team",), lambda team: (team or NOBODY, budgets.get(team)), TEAMED
    )
    return replace(table, about="With the pins that they pay for.")


TEAMED = (text("team"), Column(name="budget_month", title="budget a month"))


def _models(bill: Bill) -> Table:
    return _split(
        bill,
        "models",
        "Models",
        ("model",),
        lambda model: (model or "none: empty or unseen",),
        (text("model"),),
    )


def _split(
    bill: Bill,
    name: str,
    title: str,
    by: tuple[str, ...],
    head: Callable[..., Row],
    columns: tuple[Column, ...],
) -> Table:
    """Parts in GPU-seconds, the cost, tokens and the cost of a million of them, dearest first."""
    us, _ = _by(bill.shares, *by, "part")
    _, micros = _by(bill.shares, *by)
    tokens: dict[Any, int] = defaultdict(int)
    for each in bill.tokens:
        values = tuple(getattr(each, column) for column in by)
        tokens[values if len(values) > 1 else values[0]] += each.tokens
    order = sorted({*micros, *tokens}, key=lambda each: (-micros.get(each, 0), each))
    costs = money.amounts([micros.get(each, 0) for each in order], bill.total)
    rows: list[Row] = []
    for each, cost in zip(order, costs, strict=True):
        values = each if isinstance(each, tuple) else (each,)
        parts = [round(us.get((*values, part), 0) / US, 1) for part in (*BUSY, "wasted")]
        idle = round(sum(us.get((*values, part), 0) for part in PARTS[4:]) / US, 1)
        served = tokens.get(each, 0)
        rows.append(
            (*head(*values), *parts, idle, cost, served, money.per_million(micros.get(each, 0), served))
        )
    seconds = [Column(name=f"{part}_s", title=f"{PART_TITLES[part]}, s") for part in (*BUSY, "wasted")]
    return Table(
        name=name,
        title=title,
        columns=(
            *columns,
            *seconds,
            Column(name="idle_s", title="idle, s"),
            MONEY,
            Column(name="tokens"),
            Column(name="per_million", title="a million"),
        ),
        rows=rows,
        totals=_total({"cost": bill.total, "tokens": bill.served}),
    )


def _pins(bill: Bill) -> Table:
    us, micros = _by([s for s in bill.shares if s.part == "idle_pinned"], "pin", "model", "team")
    order = sorted(us, key=lambda each: -micros[each])
    whose = pinned_by({pin for pin, _, _ in order})
    rows: list[Row] = [
        (
            pin,
            model,
            team or NOBODY,
            whose.get(pin, "nobody knows"),
            round(us[pin, model, team] / US / 3600, 2),
            cost,
        )
        for (pin, model, team), cost in zip(
            order, money.amounts([micros[each] for each in order]), strict=True
        )
    ]
    columns = (text("pin"), text("model"), text("team"), text("pinned_by", "pinned by"))
    return Table(
        name="pins",
        title="Idle pins",
        about="GPU-hours in which a pinned model lay idle, charged to who pinned it.",
        columns=(*columns, Column(name="idle_gpu_h", title="idle GPU-hours"), MONEY),
        rows=rows,
        totals=_total({"cost": money.amount(sum(micros.values()))}),
    )


def pinned_by(pins: Iterable[str]) -> dict[str, str]:
    """By policy, who touched it last, from the audit log: the policy's own events, or the order to pin."""
    found = {}
    for pin in pins:
        model = pin.removeprefix("pin ").partition(" on ")[0]
        events = AuditEvent.objects.filter(kind="pin", target=pin[:64]) | AuditEvent.objects.filter(
            action="model.pin", name=model
        )
        event = events.order_by("-at", "-id").first()
        if event is not None:
            found[pin] = event.actor
    return found


def _notes(bill: Bill) -> Iterator[str]:
    priced = set(NodePrice.objects.values_list("node", flat=True))
    free = sorted({node for _, node in bill.days} - priced)
    if free:
        yield f"No price is entered for {', '.join(free[:5])}: their hours count, and cost nothing."
    if not bill.shares:
        yield "No costs are worked out for this period yet. A running bridge does that by itself."

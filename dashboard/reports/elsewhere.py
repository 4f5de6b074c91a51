"""What the same tokens would cost at a hosted API, and what the fleet cost before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from dashboard.reports import money
from dashboard.reports.report import Asked, Column, Row, Table, text
from scheduler.models import HostedPrice
from scheduler.policy.cost import US

if TYPE_CHECKING:
    from dashboard.reports.cost import Bill

CENT = Decimal("0.01")
WORK = ("prefill", "decode", "load")


def hosted(bill: Bill) -> Table:
    """Each offer of the operator's table beside what the models cost here that it would stand in for."""
    rows: list[Row] = []
    for price in HostedPrice.objects.all():
        counted: dict[str, int] = defaultdict(int)
        meant = {each.model for each in bill.tokens if each.model and price.means(each.model)}
        for each in bill.tokens:
            if each.model in meant:
                for name in ("prompt_tokens", "cached_tokens", "output_tokens"):
                    counted[name] += getattr(each, name)
        ours = money.amount(sum(share.micros for share in bill.shares if share.model in meant))
        theirs = price.cost(defaultdict(int, counted)).quantize(CENT)
        tokens = counted["prompt_tokens"] + counted["output_tokens"]
        names = ", ".join(sorted(meant)) or "none that was used"
        rows.append((price.name, names, tokens, theirs, ours, theirs - ours, str(price.as_of)))
    return Table(
        name="hosted",
        title="The same tokens at a hosted API",
        about="By the table of prices that you keep. Other models answer there, so this compares money only.",
        columns=(
            text("offer"),
            text("models", "in place of"),
            Column(name="tokens"),
            Column(name="there", title="there"),
            Column(name="here", title="here"),
            Column(name="saved", title="saved here"),
            text("as_of", "prices of"),
        ),
        rows=rows,
    )


def before(bill: Bill, read: Callable[[Asked], Bill]) -> Table:
    """This period beside the one before it, and beside a GPU for each model."""
    asked, length = bill.asked, bill.asked.end - bill.asked.start
    earlier = read(replace(asked, start=asked.start - length, end=asked.start))
    rows: list[Row] = [_line("the period before", earlier), _line("this period", bill)]
    dedicated, models = _dedicated(bill)
    rows.append(
        (
            f"a GPU for each of the {models} models",
            dedicated,
            bill.served,
            _each(dedicated, bill.served),
            *NONE,
        )
    )
    return Table(
        name="before",
        title="Before and after",
        about="The period before is as long, and ends where this one begins. A GPU for each model is what "
        "the fleet would cost without sharing: every model that was asked for on a node of its own for as "
        "long as the fleet ran, at its mean price.",
        columns=(
            text("what"),
            Column(name="cost"),
            Column(name="tokens"),
            Column(name="per_million", title="a million"),
            Column(name="work_percent", title="at work, %"),
            Column(name="wasted_percent", title="wasted, %"),
            Column(name="cold_percent", title="cold starts, %"),
            Column(name="waited_s", title="mean wait, s"),
        ),
        rows=rows,
    )


NONE: tuple[None, ...] = (None, None, None, None)


def _line(name: str, bill: Bill) -> Row:
    us: Mapping[str, int] = _parts(bill)
    whole = sum(us.values())
    cold, seated, queued_ms = _starts(bill)
    cost = bill.total
    return (
        f"{name}, from {bill.asked.start:%Y-%m-%d}",
        cost,
        bill.served,
        _each(cost, bill.served),
        _percent(sum(us[part] for part in WORK), whole),
        _percent(us["wasted"], whole),
        _percent(cold, seated),
        round(queued_ms / 1000 / seated, 3) if seated else None,
    )


def _parts(bill: Bill) -> dict[str, int]:
    us: dict[str, int] = defaultdict(int)
    for share in bill.shares:
        us[share.part] += share.us
    return us


def _starts(bill: Bill) -> tuple[int, int, int]:
    """Requests that met no resident, all that got a seat, and the milliseconds that those waited."""
    seated = [each for each in bill.tokens if each.load]
    cold = sum(each.requests for each in seated if each.load == "cold")
    return cold, sum(each.requests for each in seated), sum(each.queue_ms for each in seated)


def _dedicated(bill: Bill) -> tuple[Decimal, int]:
    """Money and number of models. As long as the fleet ran: its GPU-hours over its nodes."""
    models = {each.model for each in bill.tokens if each.model and each.tokens}
    nodes = {node for _, node in bill.days}
    if not bill.us or not nodes:
        return Decimal(0).quantize(CENT), len(models)
    hourly = Decimal(bill.micros) / Decimal(bill.us)  # millionths for a microsecond of a node
    of_one = hourly * bill.us / len(nodes)
    return money.amount(int(of_one * len(models))), len(models)


def _each(cost: Decimal, tokens: int) -> Decimal | None:
    return money.per_million(int(cost * US), tokens)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None

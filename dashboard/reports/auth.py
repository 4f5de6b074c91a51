"""The auth report: who uses which key, who was turned away and why, what wants attention, who signed in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from bridge.models import ApiKey, Outcome, RefusalRollup, State, UsageRollup
from dashboard.reports import limits
from dashboard.reports.chart import Chart, stacked
from dashboard.reports.names import key_names
from dashboard.reports.report import Asked, Column, Figure, Report, Row, Table, text
from dashboard.reports.spans import Spans

EXPIRES_SOON = timedelta(days=30)
UNUSED = timedelta(days=30)
NEARLY = Decimal("0.8")  # of a limit
MOST = 10_000  # rows of a table
NOT_MODEL = ("key", "team")


def build(asked: Asked) -> Report:
    spans, now = Spans.of(asked), timezone.now()
    keys = list(_keys(asked))
    used = _used(asked, spans)
    filled = limits.filled(keys, now)
    attention = list(_attention(keys, filled, spans, now))
    return Report(
        title="Auth",
        headline=tuple(_headline(keys, used, attention, spans)),
        charts=(_chart(asked, spans),),
        tables=(
            _by_use(keys, used, filled, now),
            _refusals(asked, spans),
            _attention_table(attention),
            _sign_ins(asked),
        ),
    )


def _keys(asked: Asked) -> QuerySet[ApiKey]:
    keys: QuerySet[ApiKey] = ApiKey.objects.order_by("name", "pk")
    if asked.key:
        keys = keys.filter(public_id=asked.key)
    return keys.filter(team=asked.team) if asked.team else keys


def _used(asked: Asked, spans: Spans) -> dict[str, Counter[str]]:
    """By key: requests by outcome, and tokens."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    usage = UsageRollup.objects.filter(spans.rows, **asked.narrowed()).order_by()
    sums: dict[str, Any] = {"n": Sum("requests"), "tokens": Sum("prompt_tokens") + Sum("output_tokens")}
    for key, outcome, n, tokens in usage.values_list("key", "outcome").annotate(**sums):
        found[key][outcome] += n
        found[key]["tokens"] += tokens
    return found


def _headline(
    keys: Iterable[ApiKey], used: Mapping[str, Counter[str]], attention: list[Row], spans: Spans
) -> Iterator[Figure]:
    total: Counter[str] = Counter()
    for counted in used.values():
        total += counted
    working = sum(key.state() in (State.ACTIVE, State.GRACE) for key in keys)
    yield Figure(label="keys that work", value=f"{working:,}")
    yield Figure(label="keys in use", value=f"{sum(1 for key in used if key):,}")
    yield Figure(label="requests", value=f"{sum(total[outcome] for outcome in Outcome.values):,}")
    yield Figure(label="refused", value=f"{total[Outcome.REFUSED]:,}")
    yield Figure(label="need attention", value=f"{len(attention):,}", attention=bool(attention))


def _chart(asked: Asked, spans: Spans) -> Chart:
    """Requests by outcome."""
    usage = UsageRollup.objects.filter(spans.bars, **asked.narrowed()).order_by()
    series: dict[str, dict[datetime, float]] = {outcome: defaultdict(float) for outcome in Outcome.values}
    for start, outcome, n in usage.values_list("start", "outcome").annotate(n=Sum("requests")):
        series[outcome][spans.bar(start)] += n
    fills = {"answered": 0, "refused": 3, "cancelled": 6, "failed": 7}
    return stacked("Requests by outcome", spans.moments(), series, unit="requests", fills=fills)


def _by_use(
    keys: Iterable[ApiKey],
    used: Mapping[str, Counter[str]],
    filled: Mapping[str, list[limits.Filled]],
    now: datetime,
) -> Table:
    known = {key.public_id: key for key in keys}
    strangers = [key for key in used if key and key not in known]
    rows: list[Row] = [
        (
            key.public_id,
            key.name,
            key.team,
            key.state(now).value,
            *_counted(used.get(key.public_id, Counter())),
            key.last_used_at,
            key.expires_at,
            max((float(each.share) * 100 for each in filled.get(key.public_id, ())), default=None),
        )
        for key in known.values()
    ]
    rows += [(key, "", "", "no such key", *_counted(used[key]), None, None, None) for key in strangers]
    rows.sort(key=lambda row: str(row[1]))
    rows.sort(key=lambda row: used.get(str(row[0]), Counter())["answered"], reverse=True)
    counts = ("requests", "answered", "refused", "cancelled", "failed", "tokens")
    return Table(
        name="keys",
        title="Keys by use",
        columns=(
            text("key"),
            text("name"),
            text("team"),
            text("state"),
            *(Column(name=name) for name in counts),
            text("last_used", "last used"),
            text("expires"),
            Column(name="limit_percent", title="limit, %"),
        ),
        rows=rows,
    )


def _counted(counted: Counter[str]) -> tuple[int, ...]:
    outcomes = [counted[outcome] for outcome in ("answered", "refused", "cancelled", "failed")]
    return (sum(outcomes), *outcomes, counted["tokens"])


def _refusals(asked: Asked, spans: Spans) -> Table:
    narrowed = {name: value for name, value in asked.narrowed().items() if name in NOT_MODEL}
    refusals = RefusalRollup.objects.filter(spans.rows, **narrowed).order_by()
    by = ("reason", "status", "address", "key")
    counted = refusals.values_list(*by).annotate(n=Sum("requests"), last=Max("last_at")).order_by("-n")
    found = list(counted[:MOST])
    names = key_names(key for _, _, _, key, _, _ in found)
    rows: list[Row] = [
        (reason, status, address, key, names.get(key, ""), n, last)
        for reason, status, address, key, n, last in found
    ]
    return Table(
        name="refusals",
        title="Refused, by reason and address",
        about="An address that floods with bad keys is throttled, and what is throttled is not counted.",
        columns=(
            text("reason"),
            Column(name="status"),
            text("address"),
            text("key"),
            text("name"),
            Column(name="requests"),
            text("last", "last"),
        ),
        rows=rows,
    )


def _attention(
    keys: Iterable[ApiKey], filled: Mapping[str, list[limits.Filled]], spans: Spans, now: datetime
) -> Iterator[Row]:
    """What somebody should look at: keys unused, expiring, nearly at a limit, ended and still tried."""
    tried = RefusalRollup.objects.filter(spans.rows, status__in=(401, 403)).exclude(key="").order_by()
    ended_tries = dict(tried.values_list("key").annotate(n=Sum("requests")))
    for key in keys:
        state = key.state(now)
        if not state.works:
            if n := ended_tries.get(key.public_id):
                yield "still tried", key.public_id, key.name, f"{state.label}, and tried {n:,} times"
            continue
        quiet_since = key.last_used_at or key.created_at
        if now - quiet_since > UNUSED:
            said = f"last used {key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never used"
            yield "unused", key.public_id, key.name, said
        if state == State.ACTIVE and key.expires_at and key.expires_at - now <= EXPIRES_SOON:
            yield "expires", key.public_id, key.name, f"on {key.expires_at:%Y-%m-%d}"
        for each in filled.get(key.public_id, ()):
            if each.share >= NEARLY:
                yield "near a limit", key.public_id, key.name, each.told


def _attention_table(rows: list[Row]) -> Table:
    return Table(
        name="attention",
        title="Needs attention",
        about=f"Unused or expiring means {UNUSED.days} days; near means {NEARLY:.0%} of a budget.",
        columns=(text("why"), text("key"), text("name"), text("what")),
        rows=sorted(rows, key=lambda row: (str(row[0]), str(row[2]))),
    )


def _sign_ins(asked: Asked) -> Table:
    """People at the admin, by user and address."""
    within = Q(attempt_time__gte=asked.start, attempt_time__lt=asked.end)
    by = ("username", "ip_address")
    counted: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, 0, 0, None])
    signed = AccessLog.objects.filter(within).order_by().values_list(*by)
    for user, address, n, last in signed.annotate(n=Count("pk"), last=Max("attempt_time")):
        counted[user or "", address or ""][0] += n
        _later(counted[user or "", address or ""], last)
    failed = AccessFailureLog.objects.filter(within).order_by().values_list(*by)
    locked = Count("pk", filter=Q(locked_out=True))
    for user, address, n, out, last in failed.annotate(n=Count("pk"), out=locked, last=Max("attempt_time")):
        entry = counted[user or "", address or ""]
        entry[1] += n
        entry[2] += out
        _later(entry, last)
    now_out = _locked_now()
    rows: list[Row] = [
        (user, address, *entry, (user, address) in now_out)
        for (user, address), entry in sorted(counted.items(), key=lambda each: -each[1][1])
    ]
    return Table(
        name="sign_ins",
        title="Sign-ins to the admin",
        columns=(
            text("user"),
            text("address"),
            Column(name="signed_in", title="signed in"),
            Column(name="failed"),
            Column(name="locked_out", title="tried while locked out"),
            text("last", "last"),
            text("locked_now", "locked out now"),
        ),
        rows=rows,
    )


def _later(entry: list[Any], last: datetime) -> None:
    entry[3] = last if entry[3] is None else max(entry[3], last)


def _locked_now() -> set[tuple[str, str]]:
    since = timezone.now() - timedelta(hours=float(settings.AXES_COOLOFF_TIME))
    attempts = AccessAttempt.objects.filter(
        failures_since_start__gte=settings.AXES_FAILURE_LIMIT, attempt_time__gte=since
    )
    return {(user or "", address or "") for user, address in attempts.values_list("username", "ip_address")}

"""Pins: which residents a policy keeps, which windows are open, and which policies contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from scheduler.policy.state import Pin, Resident

MINUTES_A_DAY = 24 * 60
MINUTES_A_WEEK = 7 * MINUTES_A_DAY


def protected(pins: Iterable[Pin], by_model: Mapping[str, list[Resident]]) -> set[tuple[str, str]]:
    """(node, model) of residents that may not go: of each pin the first `min_replicas`, busy ones first."""
    kept: set[tuple[str, str]] = set()
    for pin in pins:
        there = [r for r in by_model.get(pin.model, ()) if pin.nodes is None or r.node in pin.nodes]
        there.sort(key=lambda r: (not r.accepting, -r.in_flight, r.loaded_at, r.node))
        kept |= {(r.node, r.model) for r in there[: pin.min_replicas]}
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of the week in local time, in minutes from Monday 00:00; it may run over Sunday midnight."""

    start: int
    end: int  # not included; equal to start: the whole week

    def is_open(self, minute: int) -> bool:
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def minute_of_week(now: float, zone: str) -> int:
    """Minutes since Monday 00:00 on the wall clock of a time zone. Raises ZoneInfoNotFoundError."""
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(zone))
    return local.weekday() * MINUTES_A_DAY + local.hour * 60 + local.minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A pinning policy as an operator wrote it."""

    name: str
    model: str  # a model or a glob: "llama3*:latest"
    nodes: tuple[str, ...] = ()  # names or globs; empty: any node
    min_replicas: int = 1
    priority: int = 0
    windows: tuple[Window, ...] = ()  # empty: always
    zone: str = "UTC"

    def is_open(self, now: float) -> bool:
        return not self.windows or any(w.is_open(minute_of_week(now, self.zone)) for w in self.windows)

    def selects(self, node: str) -> bool:
        return not self.nodes or any(fnmatchcase(node, glob) for glob in self.nodes)

    def names(self, model: str) -> bool:
        return fnmatchcase(model, self.model)


def resolve(policies: Iterable[Policy], models: Iterable[str], nodes: Iterable[str], now: float) -> list[Pin]:
    """The pins of all policies whose window is open, highest priority first."""
    models, nodes = sorted(models), sorted(nodes)
    pins = [
        Pin(
            model=model,
            nodes=frozenset(n for n in nodes if policy.selects(n)) if policy.nodes else None,
            min_replicas=policy.min_replicas,
            priority=policy.priority,
            name=policy.name,
        )
        for policy in policies
        if policy.is_open(now)
        for model in models
        if policy.names(model)
    ]
    return sorted(pins, key=lambda pin: (-pin.priority, pin.name, pin.model))


def contradictions(
    policies: Sequence[Policy],
    needs: Mapping[str, int],
    budgets: Mapping[str, int],
    holders: Mapping[str, set[str]],
    now: float,
) -> list[str]:
    """Why these policies cannot all be kept in the week after `now`, in sentences; empty when they can.

    `needs` is bytes by model, `budgets` bytes by node, `holders` the nodes that have a model. The set that is
    open changes only where a window begins, so those moments are looked at, and now.
    """
    moments = {now}
    for policy in policies:
        minute = minute_of_week(now, policy.zone) if policy.windows else 0
        moments |= {now + (w.start - minute) % MINUTES_A_WEEK * 60 for w in policy.windows}
    problems: dict[str, None] = {}
    for moment in sorted(moments):
        open_then = [p for p in policies if p.is_open(moment)]
        problems |= dict.fromkeys(_unplaced(open_then, needs, dict(budgets), holders))
    return list(problems)


def _unplaced(
    policies: Sequence[Policy],
    needs: Mapping[str, int],
    room: dict[str, int],
    holders: Mapping[str, set[str]],
) -> list[str]:
    wanted = [(needs[m], m, p) for p in policies for m in sorted(needs) if p.names(m)]
    problems = []
    for need, model, policy in sorted(wanted, key=lambda w: (-w[2].priority, -w[0], w[1])):
        allowed = sorted(n for n in room if policy.selects(n) and n in holders.get(model, set()))
        if len(allowed) < policy.min_replicas:
            problems.append(
                f"{policy.name} wants {policy.min_replicas} of {model}, "
                f"but {len(allowed)} of its nodes have it."
            )
            continue
        for node in sorted(allowed, key=lambda n: (-room[n], n))[: policy.min_replicas]:
            if room[node] < need:
                problems.append(
                    f"{policy.name} wants {model} ({need / 1e9:.1f} GB) on {node}, where other pins "
                    f"leave {max(room[node], 0) / 1e9:.1f} GB."
                )
            room[node] -= need
    return problems

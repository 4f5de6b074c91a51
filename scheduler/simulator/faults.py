"""Faults that tests arm: on the command line as KIND[:MODEL[:COUNT[:VALUE]]], or by POST /_sim/faults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.simulator.disturbance import LoadFate

# Kind -> what it does and what its value means.
KINDS: dict[str, str] = {
    "oom_at_load": "a load ends out of memory (one count for each attempt; Ollama may retry once)",
    "oom_running": "a generation ends out of memory after `after` chunks; every runner is marked for unload",
    "hang": "a generation stops after `after` chunks, holding its slot, until its client leaves",
    "wedge": "loads never end; hot models and /api/tags stay green",
    "slow_load": "loads take `value` times as long",
    "stuck_stopping": "an unload never completes (until the fault is cleared)",
    "slow_drip": "each token takes `value` seconds",
    "latency": "the response starts `value` seconds late",
    "cut_mid_stream": "the connection is closed after `after` chunks, in the middle of the body",
    "eof_without_done": "the stream ends well-formed after `after` chunks, without its last line",
    "error_mid_stream": "an error line ends the stream after `after` chunks",
    "garbage_line": "a line that is not JSON comes after `after` chunks",
    "huge_line": "a line of `value` bytes comes after `after` chunks",
    "busy_503": "the scheduler's queue is full",
    "runner_crash": "the runner dies after `after` chunks; the next request reloads the model",
    "death": "the whole process exits after `after` chunks",
}
_MOST_ARMED = 1000
_DEFAULT_VALUES = {"slow_load": 10.0, "slow_drip": 1.0, "latency": 1.0, "huge_line": 9e6}
# Those that act on the bytes of one answer; the first armed one that matches is taken.
STREAM_KINDS = (
    "oom_running",
    "hang",
    "cut_mid_stream",
    "eof_without_done",
    "error_mid_stream",
    "garbage_line",
    "huge_line",
    "runner_crash",
    "death",
)


_NUMBER = re.compile(r"\d*(\.\d+)?")


class BadFault(ValueError):
    """A fault is stated in a form that cannot be read; the message says what it takes."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault. `left` None is without end; `model` empty is any."""

    kind: str
    model: str = ""
    left: int | None = None
    value: float = 0.0
    after: int = 1

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "model": self.model,
            "count": self.left,
            "value": self.value,
            "after": self.after,
        }


def parse_fault(text: str) -> Fault:
    """Read KIND[:MODEL[:COUNT[:VALUE]]], where the model may have a tag. Raises BadFault."""
    kind, *parts = text.split(":")
    numbers: list[str] = []
    while len(parts) > 1 and len(numbers) < 2 and _NUMBER.fullmatch(parts[-1]):
        numbers.insert(0, parts.pop())
    fields = {"kind": kind, "model": ":".join(parts)}
    fields |= dict(zip(("count", "value"), numbers, strict=False))
    return fault_of({name: field for name, field in fields.items() if field})


def fault_of(fields: Mapping[str, Any]) -> Fault:
    """A fault from its JSON form {kind, model?, count?, value?, after?}. Raises BadFault."""
    kind = fields.get("kind")
    if kind not in KINDS:
        raise BadFault(f"{kind!r} is no fault; known are {', '.join(KINDS)}")
    unknown = set(fields) - {"kind", "model", "count", "value", "after"}
    if unknown:
        raise BadFault(
            f"a fault has no {', '.join(sorted(unknown))}; it takes kind, model, count, value, after"
        )
    try:
        return Fault(
            kind=kind,
            model=str(fields.get("model") or ""),
            left=None if fields.get("count") is None else int(fields["count"]),
            value=float(fields.get("value", _DEFAULT_VALUES.get(kind, 0.0))),
            after=int(fields.get("after", 1)),
        )
    except (TypeError, ValueError):
        raise BadFault("count and after are whole numbers, value is a number") from None


class Switchboard:
    """The armed faults; also the node's Disturbance."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = list(faults)

    def arm(self, faults: Sequence[Fault]) -> None:
        """Add faults. Raises BadFault when there would be too many."""
        if len(self.faults) + len(faults) > _MOST_ARMED:
            raise BadFault(f"more than {_MOST_ARMED} faults cannot be armed; clear some first")
        self.faults.extend(faults)

    def clear(self) -> None:
        self.faults.clear()

    def take(self, kinds: Iterable[str], model: str) -> Fault | None:
        """The first armed fault of these kinds for this model, counted down once."""
        for fault in self.faults:
            if fault.kind in kinds and _matches(fault.model, model):
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    def load_fate(self, model: str) -> LoadFate:
        if self.take(("wedge",), model):
            return LoadFate(end="hang")
        slow = self.take(("slow_load",), model)
        oom = self.take(("oom_at_load",), model)
        return LoadFate(end="oom" if oom else "ready", factor=slow.value if slow else 1.0)

    def unload_sticks(self, model: str) -> bool:
        return self.take(("stuck_stopping",), model) is not None


def _matches(wanted: str, model: str) -> bool:
    return not wanted or wanted in (model, model.removesuffix(":latest"))

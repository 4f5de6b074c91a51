"""Records, samples and loads of a day in a few words."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.models import UsageRecord
from scheduler.models import LedgerEntry, NodeSample
from scheduler.models.ledger import LedgerManager

DAY = datetime(2026, 3, 2, tzinfo=UTC)
GIB = 2**30
_numbers = itertools.count(1)


def at(hour: int, minute: float = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


def row(moment: datetime, **columns: Any) -> dict[str, Any]:
    """A usage record as `insert_new` takes it: answered, 10 s, 2 of them prefill and 6 decoding."""
    usual = {
        "request_id": f"r{next(_numbers)}",
        "at": moment,
        "key": "key1",
        "team": "red",
        "model": "small:latest",
        "node": "gpu1",
        "outcome": "answered",
        "status": 200,
        "queue_ms": 2000,
        "prompt_eval_ms": 2000,
        "eval_ms": 6000,
        "total_ms": 10_000,
        "prompt_tokens": 100,
        "output_tokens": 50,
    }
    line = {**usual, **columns, "at": moment.timestamp()}
    return UsageRecord.columns_of(line)


def insert(*rows: dict[str, Any]) -> None:
    UsageRecord.objects.insert_new(rows)


def refused(moment: datetime, reason: str, status: int = 401, **columns: Any) -> dict[str, Any]:
    nothing = {"node": "", "outcome": "refused", "queue_ms": 0, "prompt_eval_ms": 0, "eval_ms": 0}
    return row(
        moment, reason=reason, status=status, **nothing, **{"prompt_tokens": 0, "output_tokens": 0, **columns}
    )


def resident(model: str, gib: float, **facts: Any) -> dict[str, Any]:
    usual = {"spilled": 0, "predicted": None, "kv": None, "num_ctx": 8192, "slots": 1, "kv_type": "f16"}
    return {"model": model, "bytes": int(gib * GIB), "in_flight": 0, "pin": "", "team": "", **usual, **facts}


def sample(moment: datetime, *residents: dict[str, Any], node: str = "gpu1", **columns: Any) -> NodeSample:
    used = sum(each["bytes"] for each in residents)
    usual = {
        "up": True,
        "total_bytes": 24 * GIB,
        "used_bytes": used,
        "reserved_bytes": 0,
        "free_bytes": 24 * GIB - used,
        "spilled_bytes": 0,
        "stranded_bytes": 0,
        "in_flight": 0,
        "waiting": 0,
        "residents": list(residents),
    }
    return NodeSample.objects.create(node=node, at=moment, **{**usual, **columns})


def sampled_hour(hour: int, *residents: dict[str, Any], node: str = "gpu1", **columns: Any) -> None:
    """A sample for each of its minutes."""
    for minute in range(60):
        sample(at(hour, minute), *residents, node=node, **columns)


def load(
    moment: datetime, seconds: float, *, kind: str = "load", outcome: str = "ok", **facts: Any
) -> LedgerEntry:
    """A load that ended then."""
    manager: LedgerManager = LedgerEntry.objects
    facts = {"node": "gpu1", "model": "small:latest", "cause": "demand", **facts}
    return manager.record(kind, seconds=seconds, outcome=outcome, at=moment, **facts)

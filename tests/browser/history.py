"""A day of usage records and ledger entries, the same each time. Runs inside `manage.py shell`."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.utils import timezone

from bridge.models import ApiKey, UsageRecord
from scheduler.models import Alias, CatalogModel, LedgerEntry, Node, NodePrice, NodeSample, PinningPolicy

DICE = random.Random(7)
NOW = timezone.now()
NODES = {"gpu1": ["llama3.2:latest", "qwen3:8b", "gemma3:12b"], "gpu2": ["qwen3:8b", "mistral-small:latest"]}
SECONDS = {"llama3.2:latest": 2.7, "qwen3:8b": 5.4, "gemma3:12b": 8.0, "mistral-small:latest": 12.9}
GIB = 2**30


def stays(node: str, models: list[str]) -> list[LedgerEntry]:
    """Loads and evictions that follow one another over the day."""
    entries = []
    for number, model in enumerate(models):
        at = NOW - timedelta(hours=23 - number)
        while (end := at + timedelta(minutes=DICE.randint(50, 260))) < NOW - timedelta(minutes=5):
            cause = DICE.choice(["demand", "demand", "prefetch", "pin"])
            entries.append(load(node, model, at, cause))
            at = end
            left = {"kind": "evict", "cause": "room", "reason": f"Room for {DICE.choice(models)}."}
            entries.append(entry(node, model, at, seconds=0.4, outcome="ok", **left))
            at += timedelta(minutes=DICE.randint(10, 90))
    return entries


def load(node: str, model: str, at: datetime, cause: str) -> LedgerEntry:
    outcome = DICE.choice(["hit", "late", "wasted"]) if cause == "prefetch" else "ok"
    why = {
        "demand": "Wanted by 2 requests; the node has room.",
        "pin": "office hours wants 1, there are 0.",
        "prefetch": "Asked for at this hour with a chance of 0.71.",
    }[cause]
    kind = "prefetch" if cause == "prefetch" else "load"
    size = int(SECONDS[model] * 0.9 * GIB)
    took = SECONDS[model] * DICE.uniform(0.9, 1.2)
    return entry(
        node, model, at, kind=kind, cause=cause, seconds=took, bytes=size, outcome=outcome, reason=why
    )


def entry(node: str, model: str, at: datetime, **facts: object) -> LedgerEntry:
    return LedgerEntry(node=node, model=model, at=at, **facts)


def usage(number: int, keys: list[ApiKey]) -> UsageRecord:
    key = DICE.choice(keys)
    node = DICE.choice(list(NODES))
    outcome = DICE.choices(["answered", "cancelled", "failed", "refused"], [94, 3, 1, 2])[0]
    cold = DICE.random() < 0.08
    queue, prefill, decode = (int(DICE.expovariate(1 / mean)) for mean in (4000 if cold else 150, 220, 3000))
    waited = {
        "queue_ms": queue,
        "prompt_eval_ms": prefill,
        "eval_ms": decode,
        "ttft_ms": queue + prefill + 20,
    }
    if outcome == "refused":
        waited = {"queue_ms": 0, "ttft_ms": None}
    return UsageRecord(
        request_id=f"req_{number:024x}",
        at=NOW - timedelta(seconds=DICE.randint(60, 86_000)),
        key=key.public_id,
        key_name=key.name,
        team=key.team,
        model=DICE.choice(NODES[node]),
        node="" if outcome == "refused" else node,
        dialect="openai",
        route="/v1/chat/completions",
        stream=True,
        status={"answered": 200, "cancelled": 499, "failed": 502, "refused": 429}[outcome],
        outcome=outcome,
        reason={"cancelled": "client_left", "failed": "node_timeout", "refused": "rate"}.get(outcome, ""),
        prompt_tokens=DICE.randint(20, 3000),
        output_tokens=0 if outcome == "refused" else decode // 22,
        total_ms=sum(value or 0 for name, value in waited.items() if name != "ttft_ms") + 40,
        load="" if outcome == "refused" else "cold" if cold else "warm",
        address="10.0.0.7",
        client="OpenAI/Python",
        **waited,
    )


def sample(node: str, number: int) -> NodeSample:
    """What lay on the node, every five minutes of the day."""
    total = (24 if node == "gpu1" else 16) * GIB
    used = int(total * DICE.uniform(0.45, 0.92))
    stranded = (total - used) if DICE.random() < 0.1 else 0
    return NodeSample(
        node=node,
        at=NOW - timedelta(minutes=5 * number),
        up=True,
        total_bytes=total,
        used_bytes=used,
        reserved_bytes=0,
        free_bytes=total - used,
        spilled_bytes=0,
        stranded_bytes=stranded,
        wanted="gemma3:12b" if stranded else "",
        in_flight=DICE.randint(0, 6),
        waiting=DICE.randint(0, 3),
        watts=DICE.uniform(80, 320),
    )


entries = [each for node, models in NODES.items() for each in stays(node, models)]
LedgerEntry.objects.bulk_create(sorted(entries, key=lambda each: each.at))
UsageRecord.objects.bulk_create([usage(number, list(ApiKey.objects.all())) for number in range(4000)])
ApiKey.objects.filter(name="notebook").update(expires_at=NOW + timedelta(days=5))
for node, price, watts in (("gpu1", "0.80", 350), ("gpu2", "0.45", 220)):
    Node.objects.filter(name=node).update(price_per_hour=price, watts=watts)
    NodePrice.objects.create(node=node, since=NOW - timedelta(days=30), per_hour=price)
NodeSample.objects.bulk_create(sample(node, number) for node in NODES for number in range(288))
Alias.objects.create(name="default", model="llama3.2:latest", note="What new apps should use.")
CatalogModel.objects.filter(name="qwen3:8b").update(note="The reviewer depends on it.")
PinningPolicy.objects.create(
    name="office hours",
    model="llama3.2",
    min_replicas=1,
    windows=[{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}],
)

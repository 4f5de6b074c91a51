"""Rows for pages that would be empty otherwise: run in the bridge's own database by `manage.py shell`."""

from __future__ import annotations

from tests.serving import Bridge

ROWS = """
from datetime import timedelta
from django.contrib.auth.models import Group, User
from django.utils import timezone
from bridge.models import Actor, ApiKey, Source, UsageRecord
from scheduler.models import Alias, CatalogModel, LedgerEntry, Measurement, OperatorRequest, PinningPolicy

now = timezone.now()
ann = Actor(name="ann", source=Source.COMMAND)
key, _ = ApiKey.objects.issue(actor=ann, name="notebook", team="research", expires_at=now + timedelta(days=3))
model = CatalogModel.objects.first()
facts = dict(dialect="openai", route="/v1/chat/completions", stream=True, status=200, prompt_tokens=40,
             cached_tokens=8, output_tokens=120, queue_ms=1800, load_ms=1500, ttft_ms=1950, total_ms=4000,
             prompt_eval_ms=90, eval_ms=2000, load="cold", address="10.0.0.7", client="OpenAI/Python")
for number, outcome in enumerate(("answered", "cancelled", "failed", "refused")):
    UsageRecord.objects.create(request_id=f"req_seed{number}", at=now, key=key.public_id, key_name=key.name,
        team=key.team, model=model.name, node="127.0.0.1", outcome=outcome, reason="tried"[:number * 5],
        **facts)
LedgerEntry.objects.record("load", node="127.0.0.1", model=model.name, cause="demand", seconds=1.5,
    bytes=3 * 2**30, outcome="ok", reason="Wanted by 2 requests, and there is room.",
    at=now - timedelta(seconds=2))
LedgerEntry.objects.record("evict", node="127.0.0.1", model="gemma3:latest", cause="room", seconds=0.4,
    outcome="ok", reason="Room for llama3.2:latest.", at=now - timedelta(seconds=3))
OperatorRequest.objects.ask("load", model=model.name, asked_by="ann")
Alias.objects.create(name="default", model=model.name)
PinningPolicy.objects.create(name="office hours", model=model.name, min_replicas=1)
Measurement.objects.create(digest="sha256:1", node="127.0.0.1", num_ctx=8192, slots=1, kv_type="f16",
    size_bytes=3 * 2**30, size_vram=3 * 2**30, load_s=1.5)
"""


def seed(bridge: Bridge) -> None:
    """Catalogue, keys, usage, ledger, requests, an alias, a pin and a measurement."""
    bridge.manage("synccatalog")
    bridge.manage("shell", "-c", ROWS)

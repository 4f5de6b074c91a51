"""A bridge with a row of everything that the file holds, and runs of the two commands on it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

from django.core.management import call_command

from bridge.configuration.sections import SECTIONS
from bridge.models import Actor, ApiKey, Source, Team
from scheduler.models import (
    Alias,
    CatalogModel,
    GpuType,
    HostedPrice,
    Node,
    NodePrice,
    PinningPolicy,
    WarmPrefix,
    Workflow,
)
from scheduler.models.access import access_of, seal

ANN = Actor(name="ann", source=Source.COMMAND)
HEADER = "Bearer of-the-proxy-4711"


def fill() -> tuple[ApiKey, str]:
    """One or two rows in every section; the key and its text."""
    sealed = seal(access_of(f"Authorization: {HEADER}", ""))
    Node.objects.create(name="gpu1", url="http://gpu1:11434", sealed=sealed, price_per_hour=Decimal("0.77"))
    Node.objects.create(name="gpu2", url="http://gpu2:11434", slots=4, kv_type="q8_0", gpu_uuids=["GPU-1"])
    NodePrice.objects.create(node="gpu1", since=datetime(2019, 5, 1, tzinfo=UTC), per_hour=Decimal("0.5"))
    CatalogModel.objects.create(name="llama3.2:latest", num_ctx=8192, buckets=[8192, 16384], think="on")
    CatalogModel.objects.create(name="qwen3:8b", note="naïve: [yes] #1", enabled=False)
    Alias.objects.create(name="fast:latest", model="small:latest")  # before the alias that it leads to
    Alias.objects.create(name="small:latest", model="llama3.2:latest")
    windows = [{"days": ["mon", "fri"], "from": "08:00", "to": "18:30"}]
    PinningPolicy.objects.create(name="day", model="llama3.2", windows=windows, time_zone="Europe/Berlin")
    key, text = ApiKey.objects.issue(
        actor=ANN, name="crawler", team="search", scopes=["chat"], requests_per_minute=60
    )
    Workflow.objects.create(name="rag", sequence=["llama3.2:latest", "qwen3:8b"], keys=[key.public_id])
    Team.objects.create(name="search", budget_money_day=Decimal("12.50"))
    HostedPrice.objects.create(name="big", stands_for="llama3*", input_price="0.15", output_price="0.6")
    GpuType.objects.create(name="Two cards", vram_gb=24, usd_per_hour=Decimal("0.25"))
    WarmPrefix.objects.create(model="llama3.2:latest", system="You are Marvin.", digest="d" * 64)
    return key, text


def empty() -> None:
    """As a bridge that is new, but for the keys."""
    for section in reversed(SECTIONS):
        if section.makes_rows:
            section.model._default_manager.all().delete()
    WarmPrefix.objects.all().delete()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*words: str | Path, out: StringIO | None = None) -> tuple[str, str]:
    out, err = out or StringIO(), StringIO()
    call_command(*map(str, words), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()

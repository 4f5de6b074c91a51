"""A period with rows in it, and the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.models import UsageRecord
from dashboard.reports.report import Asked
from scheduler.models import CatalogModel

DAY = datetime(2026, 11, 20, tzinfo=UTC)
ASKED = Asked(start=DAY, end=DAY + timedelta(days=1))
SIZES = {"llama3.2:latest": 2_000_000_000, "qwen3:8b": 5_200_000_000}


def catalogue() -> None:
    for name, size in SIZES.items():
        CatalogModel.objects.create(name=name, size_bytes=size)


def record(number: int, *, after_s: float, **fields: object) -> UsageRecord:
    """A request `after_s` seconds into the day."""
    values: dict[str, object] = {
        "request_id": f"r{number}",
        "at": DAY + timedelta(seconds=after_s),
        "key": "ab12cd34",
        "team": "search",
        "model": "llama3.2:latest",
        "node": "gpu1",
        "prompt_tokens": 10 + number,
        "output_tokens": 20 + number,
        "outcome": "answered",
        "status": 200,
    }
    return UsageRecord.objects.create(**(values | fields))

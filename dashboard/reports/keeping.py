"""How long one model is worth keeping idle, for its own page."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from dashboard.reports import advice, vram
from dashboard.reports.report import Asked
from dashboard.reports.spans import Spans

SEEN = timedelta(days=14)


def of_model(model: str) -> list[str]:
    """A sentence for each node that held it."""
    now = timezone.now()
    asked = Asked(start=now - SEEN, end=now, model=model)
    spans = Spans.of(asked)
    sums = vram.read(asked, spans)
    nodes = {row["node"]: row for row in sums if not row["model"]}
    told = []
    starts = vram.starts_of(asked, spans)
    for seen in advice.seen_of(spans, [row for row in sums if row["model"]], nodes, starts):
        keep = advice.keep_time(seen)
        if keep is not None:
            told.append(f"On {seen.node}: {advice.kept(keep)}. {advice.why(seen, keep)}")
    return told

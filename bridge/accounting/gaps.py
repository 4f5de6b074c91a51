"""How long each model was asked for by nobody, fleet-wide: what keep times are advised from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bridge.models import ModelGaps
from scheduler.policy.cost import Served
from scheduler.policy.economy import Gaps

SHORTEST_US = 1_000_000  # a shorter pause is none
REMEMBERED = timedelta(days=14)  # a model unused for longer begins anew


@dataclass(slots=True)
class IdleGaps:
    """One hour's. Requests are taken in order of arrival."""

    idle_since: dict[str, int] = field(default_factory=dict)  # microseconds since 1970, by model
    gaps: dict[str, Gaps] = field(default_factory=dict)

    @classmethod
    def before(cls, hour: datetime) -> IdleGaps:
        """As the hours before left it."""
        rows = ModelGaps.objects.filter(start__lt=hour, start__gte=hour - REMEMBERED).order_by("start")
        since = dict(rows.values_list("model", "idle_since"))  # the newest of a model comes last
        return cls({model: round(at.timestamp() * 1e6) for model, at in since.items()})

    def take(self, requests: Iterable[tuple[str, Served]], start: datetime) -> None:
        """Those that came since `start`; earlier ones were taken before."""
        begin = round(start.timestamp() * 1e6)
        for _, request in requests:
            if request.at < begin:
                continue
            gaps = self.gaps.setdefault(request.model, Gaps.none())
            since = self.idle_since.get(request.model)
            if since is not None and request.at - since >= SHORTEST_US:
                gaps.add((request.at - since) / 1e6)
            self.idle_since[request.model] = max(request.at + request.total, since or 0)

    def write(self, hour: datetime) -> None:
        """Replace the hour's rows."""
        ModelGaps.objects.filter(start=hour).delete()
        ModelGaps.objects.bulk_create(
            ModelGaps(
                start=hour,
                model=model,
                gaps=gaps.as_json(),
                idle_since=datetime.fromtimestamp(self.idle_since[model] / 1e6, UTC),
            )
            for model, gaps in self.gaps.items()
        )

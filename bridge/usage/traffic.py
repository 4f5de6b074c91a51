"""Usage records as the scheduler needs them after a restart: who asked for what, when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db.models import F

from bridge.models import ApiKey, UsageRecord
from bridge.models.usage import Outcome
from scheduler.models.traffic import Answered
from scheduler.policy.prediction import Arrival

CHUNK = 2000  # rows read at once
MS = 1e-3


class UsageTraffic:
    """See scheduler.models.traffic.Records."""

    def arrivals(self, since: float, most: int) -> Iterator[Arrival]:
        """A key counts as its account, as on the board: a rotated one goes on with the habits it had."""
        rotated = ApiKey.objects.exclude(account=F("public_id"))
        accounts = dict(rotated.values_list("public_id", "account"))
        asked = UsageRecord.objects.filter(at__gte=datetime.fromtimestamp(since, UTC)).exclude(model="")
        oldest = asked.order_by("-at").values_list("at", flat=True)[most - 1 : most].first()
        if oldest is not None:
            asked = asked.filter(at__gte=oldest)
        rows = asked.order_by("at").values_list("at", "key", "model")
        for at, key, model in rows.iterator(chunk_size=CHUNK):
            yield Arrival(at=at.timestamp(), key=accounts.get(key, key), model=model)

    def answered(self, node: str, model: str, since: float, most: int) -> list[Answered]:
        rows = UsageRecord.objects.filter(
            node=node,
            model=model,
            at__gte=datetime.fromtimestamp(since, UTC),
            outcome=Outcome.ANSWERED,
            prompt_tokens__gt=0,
        )
        columns = ("at", "prompt_tokens", "cached_tokens", "prompt_eval_ms")
        return [
            Answered(at=at.timestamp(), prompt_tokens=prompt, cached_tokens=cached, prompt_eval_s=ms * MS)
            for at, prompt, cached, ms in rows.order_by("at").values_list(*columns)[:most]
        ]

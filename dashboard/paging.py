from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property

from dashboard.generic import AnyPaginator

MOST = 10_000


class BoundedPaginator(AnyPaginator):
    """Counts at most MOST rows: the pages behind them are reached by narrowing the filters."""

    most = MOST  # for the template

    @cached_property
    def count(self) -> int:
        objects: Any = self.object_list
        return int(objects.order_by()[:MOST].count())

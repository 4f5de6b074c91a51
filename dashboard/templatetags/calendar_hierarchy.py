"""A date hierarchy out of the calendar. Django's own reads every row for the days that have one."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.db.models import Max, Min
from django.utils.formats import date_format

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def calendar_hierarchy(cl: ChangeList) -> dict[str, Any]:
    """The context of admin/date_hierarchy.html, from the first and the last date alone."""
    field = str(cl.date_hierarchy)
    first, last = _bounds(cl, field)
    if first is None or last is None:
        return {"show": False}
    names = [f"{field}__{part}" for part in ("year", "month", "day")]
    chosen = [int(value) for value in (_param(cl, name) for name in names) if value.isdigit()]

    def link(*parts: int) -> str:
        return cl.get_query_string(dict(zip(names, parts, strict=False)), [f"{field}__"])

    shown = list(chosen)
    while len(shown) < 2 and len(only := below(first, last, *shown)) == 1:
        shown = list(only[0])
    steps = [{"link": link(*parts), "title": title(*parts)} for parts in below(first, last, *shown)]
    back = {"link": link(*chosen[:-1]), "title": title(*chosen[:-1])} if chosen else None
    return {"show": True, "back": back, "choices": steps or [{"title": title(*shown)}]}


def below(first: date, last: date, *chosen: int) -> list[tuple[int, ...]]:
    """The years, or the months of a year, or the days of a month, that lie between two dates."""
    if not chosen:
        return [(year,) for year in range(first.year, last.year + 1)]
    if len(chosen) == 1:
        year = chosen[0]
        months = [(year, month) for month in range(1, 13)]
        return [m for m in months if (first.year, first.month) <= m <= (last.year, last.month)]
    if len(chosen) == 2 and 1 <= chosen[1] <= 12 and 1 <= chosen[0] <= 9999:
        days = [(*chosen, day) for day in range(1, monthrange(*chosen)[1] + 1)]
        return [d for d in days if first <= date(*d) <= last]
    return []


def title(*parts: int) -> str:
    if len(parts) == 3:
        return date_format(date(*parts), "MONTH_DAY_FORMAT")
    if len(parts) == 2:
        return date_format(date(*parts, 1), "YEAR_MONTH_FORMAT")
    return str(parts[0]) if parts else "All dates"


def _bounds(cl: ChangeList, field: str) -> tuple[date | None, date | None]:
    # Two look-ups at the ends of the index; together they would be a scan in SQLite.
    found = [cl.model._default_manager.aggregate(at=end(field))["at"] for end in (Min, Max)]
    return found[0] and found[0].date(), found[1] and found[1].date()


def _param(cl: ChangeList, name: str) -> str:
    value = cl.params.get(name, "")
    return str(value[-1] if isinstance(value, list) and value else value or "")

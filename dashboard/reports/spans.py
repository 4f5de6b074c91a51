"""Which rows of the sums a period means: whole days where it covers them, hours at its ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from bridge.models.rollups import DAY, HOUR
from dashboard.reports.report import Asked

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
BY_HOUR = timedelta(days=3)  # charts of a longer period have a bar for each day


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """[start, end) in whole hours. Hours of long ago are pruned: there, whole days are taken."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, asked: Asked, now: datetime | None = None) -> Spans:
        now = now or timezone.now()
        start, end = hour_of(asked.start), hour_of(asked.end)
        if end < asked.end:
            end += AN_HOUR
        kept = midnight(now) - timedelta(days=settings.KEEP_USAGE_DAYS)
        if settings.KEEP_USAGE_DAYS and start < kept:
            start = midnight(start)
        if end > now:  # today's row has all of today
            end = midnight(now) + A_DAY
        elif settings.KEEP_USAGE_DAYS and end < kept and end != midnight(end):
            end = midnight(end) + A_DAY
        return cls(start=start, end=end)

    @property
    def rows(self) -> Q:
        """The rows of any table of sums, each moment once."""
        first = midnight(self.start)
        first += A_DAY if first < self.start else timedelta()
        last = midnight(self.end)
        if first >= last:
            return Q(span=HOUR, start__gte=self.start, start__lt=self.end)
        found = Q(span=DAY, start__gte=first, start__lt=last)
        if self.start < first:
            found |= Q(span=HOUR, start__gte=self.start, start__lt=first)
        if last < self.end:
            found |= Q(span=HOUR, start__gte=last, start__lt=self.end)
        return found

    @property
    def by_hour(self) -> bool:
        """Whether a chart has a bar for each hour."""
        return self.end - self.start <= BY_HOUR

    @property
    def bars(self) -> Q:
        """The rows of a chart with a bar for each hour or day."""
        return Q(span=HOUR, start__gte=self.start, start__lt=self.end) if self.by_hour else self.rows

    def bar(self, start: datetime) -> datetime:
        return start if self.by_hour else midnight(start)

    def moments(self) -> list[datetime]:
        """The beginnings of all bars, those without a row too."""
        step = AN_HOUR if self.by_hour else A_DAY
        at, found = self.bar(self.start), []
        while at < self.end:
            found.append(at)
            at += step
        return found

    @property
    def hours(self) -> float:
        return (self.end - self.start) / AN_HOUR


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)

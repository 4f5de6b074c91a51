from __future__ import annotations

from django.db import models
from django.db.models import F


class RevisionManager(models.Manager["Revision"]):
    def bump(self, topic: str) -> None:
        """Count a write. Call it in the writer's transaction, so that a reader never reloads too early."""
        if not self.filter(topic=topic).update(number=F("number") + 1):
            self.get_or_create(topic=topic, defaults={"number": 1})

    def of(self, topic: str) -> int:
        """The counter of a topic; 0 before its first write."""
        return self.filter(topic=topic).values_list("number", flat=True).first() or 0


class Revision(models.Model):
    """How often a topic was written: one tiny row that every process polls instead of the tables."""

    topic = models.CharField(max_length=32, primary_key=True)
    number = models.PositiveBigIntegerField(default=0)

    objects = RevisionManager()

    def __str__(self) -> str:
        return f"{self.topic} {self.number}"

"""Revision numbers: how other processes notice within a second that rows changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import F

CATALOGUE = "catalogue"

M = TypeVar("M", bound=models.Model)


class RevisionManager(models.Manager["Revision"]):
    def bump(self, topic: str) -> None:
        """Count one change of the topic. Inside a transaction it shows with the transaction's own changes."""
        if not self.filter(topic=topic).update(number=F("number") + 1):
            _, made = self.get_or_create(topic=topic, defaults={"number": 1})
            if not made:
                self.filter(topic=topic).update(number=F("number") + 1)

    def number(self, topic: str) -> int:
        """The topic's number; 0 when nothing changed yet."""
        return self.filter(topic=topic).values_list("number", flat=True).first() or 0


class Revision(models.Model):
    topic = models.CharField(max_length=32, unique=True)
    number = models.PositiveBigIntegerField(default=0)

    objects = RevisionManager()

    def __str__(self) -> str:
        return f"{self.topic} {self.number}"


class RevisedQuerySet(models.QuerySet[M]):
    """Bumps the model's topic on writes in bulk, as `Revised` does on single ones."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            count = super().update(**kwargs)
            if count:
                _bump(self.model, kwargs)
        return count

    update.alters_data = True  # type: ignore[attr-defined]  # Django's mark: templates must not call it

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic(using=self.db):
            result = super().delete()
            if result[0]:
                _bump(self.model, None)
        return result

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        with transaction.atomic(using=self.db):
            made = super().bulk_create(objs, *args, **kwargs)
            if made:
                _bump(self.model, None)
        return made


class Revised(models.Model):
    """A model whose changes other processes must see: each save and delete bumps `topic`.

    Fields in `quiet` are observations that nobody takes decisions on through a snapshot; writing only those
    bumps nothing.
    """

    topic = CATALOGUE
    quiet: Collection[str] = ()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            _bump(type(self), kwargs.get("update_fields"))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            result = super().delete(*args, **kwargs)
            _bump(type(self), None)
        return result


def _bump(model: type[models.Model], fields: Collection[str] | None) -> None:
    """`fields` None: any may have changed."""
    assert issubclass(model, Revised)
    if fields is None or not set(fields) <= set(model.quiet):
        Revision.objects.bump(model.topic)

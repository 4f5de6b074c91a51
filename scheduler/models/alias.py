from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import models

from scheduler.models.catalog import CatalogModel, clean_name
from scheduler.models.revision import Revised, RevisedQuerySet


def follow(name: str, aliases: Mapping[str, str]) -> str | None:
    """The name at the end of the chain of aliases; None when it runs in a circle."""
    seen = set()
    while name in aliases:
        if name in seen:
            return None
        seen.add(name)
        name = aliases[name]
    return name


class AliasQuerySet(RevisedQuerySet["Alias"]):
    def mapping(self) -> dict[str, str]:
        return dict(self.values_list("name", "model"))


class Alias(Revised):
    """Another name for a model, such as gpt-4o-mini for apps that know no other."""

    name = models.CharField(max_length=255, unique=True)
    model = models.CharField(max_length=255, help_text="A model of the catalogue, or another alias.")
    note = models.TextField(blank=True)

    objects = AliasQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return f"{self.name} → {self.model}"

    def clean(self) -> None:
        super().clean()
        self.name, self.model = clean_name(self.name), clean_name(self.model)
        if CatalogModel.objects.filter(name=self.name).exists():
            raise ValidationError(
                {"name": f"{self.name} is a model of the catalogue; an alias would hide it."}
            )
        others = Alias.objects.exclude(pk=self.pk).mapping()
        end = follow(self.name, others | {self.name: self.model})
        if end is None:
            raise ValidationError({"model": f"{self.model} leads back to {self.name}."})
        if not CatalogModel.objects.filter(name=end).exists():
            raise ValidationError({"model": f"{end} is not in the catalogue."})

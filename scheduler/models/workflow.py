from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from scheduler.models.alias import Alias, follow
from scheduler.models.catalog import clean_name
from scheduler.models.revision import Revised, RevisedQuerySet

FEWEST, MOST = 2, 16  # models of one workflow
MOST_KEYS = 1000
NAME_SIZE = 255
ID_SIZE = 8  # of a key's public id


class WorkflowQuerySet(RevisedQuerySet["Workflow"]):
    def enabled(self) -> WorkflowQuerySet:
        return self.filter(enabled=True)


class Workflow(Revised):
    """The order in which an app uses models, so that the next one can be loaded before it is asked for."""

    name = models.CharField(max_length=64, unique=True)
    enabled = models.BooleanField(default=True)
    sequence = models.JSONField(default=list, help_text="Models or aliases in the order of their use.")
    repeats = models.BooleanField(default=False, help_text="After the last model comes the first again.")
    keys = models.JSONField(
        default=list, blank=True, help_text="Ids of the keys that follow it. Empty: any key may."
    )
    note = models.TextField(blank=True)

    objects = WorkflowQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        try:
            self.sequence = [clean_name(name) for name in _strings(self.sequence)]
        except ValidationError as error:
            raise ValidationError({"sequence": error.messages}) from None
        if not FEWEST <= len(self.sequence) <= MOST:
            said = f"A workflow has {FEWEST} to {MOST} models; this one has {len(self.sequence)}."
            raise ValidationError({"sequence": said})
        keys = _strings(self.keys)
        if len(keys) > MOST_KEYS or not all(key.isalnum() and len(key) <= ID_SIZE for key in keys):
            raise ValidationError({"keys": "Ids of keys, as `manage.py listkeys` shows them."})
        self.keys = list(dict.fromkeys(keys))

    def resolved(self, aliases: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """The models by the names under which they are asked of nodes."""
        known = Alias.objects.mapping() if aliases is None else aliases
        return tuple(follow(name, known) or name for name in self.sequence)


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValidationError("A list of names.")
    return [item.strip()[:NAME_SIZE] for item in value]

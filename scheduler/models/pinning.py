from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.db import models

from scheduler.models import windows as weekly
from scheduler.models.pin_fit import contradictions_of
from scheduler.models.revision import Revised, RevisedQuerySet
from scheduler.policy.pins import Policy

MOST_PROBLEMS = 3  # sentences that an operator is shown at once


class PinningPolicyQuerySet(RevisedQuerySet["PinningPolicy"]):
    def active(self, at: datetime) -> list[PinningPolicy]:
        """Policies in force at a moment, the highest priority first."""
        return [p for p in self.filter(enabled=True).order_by("-priority", "name") if p.holds(at)]


class PinningPolicy(Revised):
    """A promise to keep models in VRAM: which, where, how many times, when."""

    name = models.CharField(max_length=64, unique=True)
    enabled = models.BooleanField(default=True)
    model = models.CharField(
        max_length=255, help_text="A name or a pattern, such as qwen3:* (always lower case)."
    )
    nodes = models.CharField(
        max_length=255, default="*", help_text="A node's name or a pattern, such as gpu-a*."
    )
    min_replicas = models.PositiveSmallIntegerField(
        "least replicas", default=1, help_text="Nodes that hold each model it names."
    )
    windows = models.JSONField(
        default=list,
        blank=True,
        help_text='Empty: always. Else [{"days": ["mon", "tue"], "from": "08:00", "to": "18:00"}, …].',
    )
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="Of the windows, such as Europe/Berlin."
    )
    priority = models.SmallIntegerField(default=0, help_text="When not all pins fit, higher ones hold first.")
    team = models.CharField(
        max_length=100,
        blank=True,
        help_text="Who pays for the VRAM while nobody uses it; empty: the policy alone is named.",
    )
    note = models.TextField(blank=True)

    objects = PinningPolicyQuerySet.as_manager()

    class Meta:
        ordering = ["-priority", "name"]
        verbose_name_plural = "pinning policies"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        self.model = self.model.strip().lower()
        if self.min_replicas == 0:
            raise ValidationError({"min_replicas": "At least 1; switch the policy off to promise nothing."})
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValidationError(
                {"time_zone": f"{self.time_zone!r} is no time zone; try Europe/Berlin."}
            ) from None
        try:
            weekly.check(self.windows)
        except weekly.BadWindow as error:
            raise ValidationError({"windows": str(error)}) from None
        if self.enabled:
            self._clean_fit()

    def _clean_fit(self) -> None:
        """Refuse what cannot be kept beside the other policies in force."""
        others = PinningPolicy.objects.filter(enabled=True).exclude(pk=self.pk)
        problems = contradictions_of(self.as_policy(), [other.as_policy() for other in others])
        if problems:
            raise ValidationError(
                [*problems[:MOST_PROBLEMS], "Make room, lower what is wanted, or choose other windows."]
            )

    def holds(self, at: datetime) -> bool:
        """Whether a window is open at this (aware) moment."""
        return self.as_policy().is_open(at.timestamp())

    @property
    def pattern(self) -> str:
        """What matches catalogue names; a name without a tag means :latest."""
        return self.model if ":" in self.model or "*" in self.model else f"{self.model}:latest"

    def as_policy(self) -> Policy:
        """The value that scheduler.policy works with."""
        return Policy(
            name=self.name,
            model=self.pattern,
            nodes=() if self.nodes == "*" else (self.nodes,),
            min_replicas=self.min_replicas,
            priority=self.priority,
            windows=weekly.minutes(self.windows),
            zone=self.time_zone,
        )

    def models_among(self, names: Iterable[str]) -> list[str]:
        """The catalogue names that the policy means."""
        return [name for name in names if fnmatchcase(name, self.pattern)]

    def nodes_among(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if fnmatchcase(name, self.nodes)]

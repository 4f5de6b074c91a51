from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from scheduler.models.catalog import clean_name
from scheduler.models.node import Node

NEEDS_NODE = frozenset({"drain", "undrain", "evict"})
NEEDS_MODEL = frozenset({"load", "evict", "pin", "unpin"})


class OperatorRequestManager(models.Manager["OperatorRequest"]):
    def ask(self, kind: str, *, node: str = "", model: str = "", asked_by: str) -> OperatorRequest:
        """File a request that the scheduler carries out. Raises ValidationError with what is wrong."""
        request = OperatorRequest(kind=kind, node=node, model=model, asked_by=asked_by)
        request.full_clean()
        request.save()
        return request

    def waiting(self) -> models.QuerySet[OperatorRequest]:
        """Those not carried out yet, oldest first."""
        return self.filter(state=OperatorRequest.State.ASKED).order_by("at", "id")


class OperatorRequest(models.Model):
    """What an operator asked of the scheduler, by a command or a button, and what came of it."""

    class Kind(models.TextChoices):
        LOAD = "load", "load"
        EVICT = "evict", "evict"
        PIN = "pin", "pin"
        UNPIN = "unpin", "unpin"
        DRAIN = "drain", "drain"
        UNDRAIN = "undrain", "undrain"
        CANCEL = "cancel", "cancel"

    class State(models.TextChoices):
        ASKED = "asked", "asked"
        DONE = "done", "done"
        REFUSED = "refused", "refused"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    node = models.CharField(max_length=64, blank=True)
    model = models.CharField(max_length=255, blank=True)
    asked_by = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ASKED)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(blank=True)

    objects = OperatorRequestManager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["state", "at"], name="operator_request_state_at")]

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.model, self.node and f"on {self.node}") if part)

    def clean(self) -> None:
        super().clean()
        if self.kind in NEEDS_MODEL and not self.model:
            raise ValidationError({"model": f"{self.kind} needs a model."})
        if self.kind in NEEDS_NODE and not self.node:
            raise ValidationError({"node": f"{self.kind} needs a node."})
        if self.model:
            self.model = clean_name(self.model)
        if self.node and not Node.objects.filter(name=self.node).exists():
            raise ValidationError({"node": f"There is no node {self.node!r}."})

    def finish(self, state: str, outcome: str) -> bool:
        """Close the request; False when another scheduler did so first."""
        mine = type(self).objects.filter(pk=self.pk, state=self.State.ASKED)
        closed = mine.update(state=self.State(state), outcome=outcome, finished_at=timezone.now())
        if closed:
            self.refresh_from_db()
        return bool(closed)

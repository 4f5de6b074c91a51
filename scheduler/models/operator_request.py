from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone

from scheduler.models.catalog import clean_name
from scheduler.models.node import Node
from scheduler.models.revision import Revision

CANCELLATIONS = "cancellations"  # the topic whose revision number moves with each of them
LOST_AFTER = timedelta(seconds=5)  # what no bridge took within this is about a request that has ended
NEEDS_NODE = frozenset({"drain", "undrain", "evict"})
NEEDS_MODEL = frozenset({"load", "evict", "pin", "unpin"})


class OperatorRequestManager(models.Manager["OperatorRequest"]):
    def ask(
        self, kind: str, *, node: str = "", model: str = "", request_id: str = "", asked_by: str
    ) -> OperatorRequest:
        """File a request that the scheduler carries out; with a request id, one that the bridge which holds
        that request does. Raises ValidationError with what is wrong."""
        request = OperatorRequest(kind=kind, node=node, model=model, request_id=request_id, asked_by=asked_by)
        request.full_clean()
        with transaction.atomic():
            request.save()
            if request_id:
                Revision.objects.bump(CANCELLATIONS)
        return request

    def waiting(self) -> models.QuerySet[OperatorRequest]:
        """Those for the scheduler that are not carried out yet, oldest first; among them cancellations that
        no bridge took."""
        lost = models.Q(at__lt=timezone.now() - LOST_AFTER)
        asked = self.filter(state=OperatorRequest.State.ASKED)
        return asked.filter(models.Q(request_id="") | lost).order_by("at", "id")

    def cancellations(self) -> models.QuerySet[OperatorRequest]:
        """Those for the bridges that are not carried out yet, the newest hundred."""
        return self.filter(state=OperatorRequest.State.ASKED).exclude(request_id="").order_by("-pk")[:100]


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
    request_id = models.CharField("request", max_length=36, blank=True)  # of a cancellation
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
        parts = (self.kind, self.request_id, self.model, self.node and f"on {self.node}")
        return " ".join(part for part in parts if part)

    def clean(self) -> None:
        super().clean()
        if self.request_id and self.kind != self.Kind.CANCEL:
            raise ValidationError({"request_id": f"{self.kind} is about models and nodes."})
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

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone


class LedgerManager(models.Manager["LedgerEntry"]):
    def record(self, kind: str, *, node: str = "", model: str = "", **facts: Any) -> LedgerEntry:
        """Write one decision down. `facts`: cause, key, seconds, saved_s, bytes, outcome, reason, at."""
        return self.create(kind=LedgerEntry.Kind(kind), node=node, model=model, **facts)

    def latest_open(self, kind: str, **facts: str) -> LedgerEntry | None:
        """The decision of this kind that waits for its outcome, the newest where there are several. `facts`:
        node, model, cause."""
        return self.filter(kind=kind, outcome="", **facts).order_by("-at", "-id").first()


class LedgerEntry(models.Model):
    """One decision of the scheduler. Node, model and key are names: the entry outlives their rows."""

    class Kind(models.TextChoices):
        LOAD = "load", "load"
        EVICT = "evict", "evict"
        PREFETCH = "prefetch", "prefetch"
        WARM = "warm", "warm"
        RELOAD = "reload", "reload"
        REFUSE = "refuse", "refuse"
        QUARANTINE = "quarantine", "quarantine"
        DRAIN = "drain", "drain"
        RECOVER = "recover", "recover"
        SHADOW = "shadow", "shadow"  # a prefetch that was only thought of

    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    node = models.CharField(max_length=64, blank=True)
    model = models.CharField(max_length=255, blank=True)
    cause = models.CharField(max_length=32, blank=True)  # demand, pin, prefetch, operator, …
    key = models.CharField(max_length=64, blank=True, help_text="Public id of the key that caused it.")
    seconds = models.FloatField(null=True)
    saved_s = models.FloatField(
        "saved", null=True, help_text="Seconds of waiting that it saved; below 0, that it cost."
    )
    bytes = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=32, blank=True)
    reason = models.TextField(blank=True)

    objects = LedgerManager()

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["model", "-at"], name="ledger_model_at"),
            models.Index(fields=["node", "-at"], name="ledger_node_at"),
            models.Index(fields=["kind", "-at"], name="ledger_kind_at"),
        ]

    def __str__(self) -> str:
        place = f" on {self.node}" if self.node else ""
        return f"{self.kind} {self.model}{place}".strip()

    def settle(self, outcome: str, reason: str = "", *, saved_s: float | None = None) -> bool:
        """Give a decision its outcome when that is known later; False when it has one already."""
        open_entry = type(self).objects.filter(pk=self.pk, outcome="")
        return bool(open_entry.update(outcome=outcome, reason=reason or self.reason, saved_s=saved_s))

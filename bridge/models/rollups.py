"""What reports read instead of the records: sums by hour and by day.

`span` is 1 for an hour and 24 for a day (UTC), `start` its beginning. Days hold the same sums as their hours.
"""

from __future__ import annotations

from django.db import models

HOUR, DAY = 1, 24


def _sum() -> models.BigIntegerField[int, int]:
    return models.BigIntegerField(default=0)


class UsageRollup(models.Model):
    """Usage records, added up when they come into the table (bridge.accounting.usage)."""

    span = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    key = models.CharField(max_length=8, blank=True)
    team = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    node = models.CharField(max_length=100, blank=True)
    outcome = models.CharField(max_length=9)
    load = models.CharField(max_length=10, blank=True)

    requests = _sum()
    prompt_tokens = _sum()
    cached_tokens = _sum()
    output_tokens = _sum()
    queue_ms = _sum()
    total_ms = _sum()
    prompt_eval_ms = _sum()
    eval_ms = _sum()
    longest_ms = models.BigIntegerField(default=0, help_text="Of one request, from arrival to end.")
    longest_tokens = models.BigIntegerField(default=0, help_text="Prompt and output of one request.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["span", "start", "key", "team", "model", "node", "outcome", "load"],
                name="usage_rolled_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} {self.key} {self.model} {self.outcome}: {self.requests}"


class RefusalRollup(models.Model):
    """Requests that were turned away, by reason and where they came from."""

    span = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    key = models.CharField(max_length=8, blank=True)
    team = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=24, blank=True)
    status = models.PositiveSmallIntegerField()
    address = models.CharField(max_length=39, blank=True)

    requests = _sum()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["span", "start", "key", "team", "reason", "status", "address"],
                name="refusal_rolled_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} {self.reason} {self.address}: {self.requests}"


class CostRollup(models.Model):
    """Who had a node's GPU-seconds, and what they cost (scheduler.policy.cost). Written anew, hour by hour,
    while something about an hour may still change."""

    span = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    node = models.CharField(max_length=64)
    part = models.CharField(max_length=14)
    model = models.CharField(max_length=255, blank=True)
    key = models.CharField(max_length=8, blank=True)
    team = models.CharField(max_length=100, blank=True)
    pin = models.CharField(max_length=64, blank=True)

    gpu_us = models.BigIntegerField(help_text="Microseconds.")
    micros = models.BigIntegerField(help_text="Millionths of the unit of money, energy included.")
    joules = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["span", "start", "node", "part", "model", "key", "team", "pin"],
                name="cost_split_once",
            )
        ]
        indexes = [
            models.Index(fields=["span", "key", "start"], name="cost_key"),
            models.Index(fields=["span", "team", "start"], name="cost_team"),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} {self.node} {self.part} {self.model}"


class VramRollup(models.Model):
    """VRAM samples of an hour or a day, added up: of a node (`model` empty), and of each resident there."""

    span = models.PositiveSmallIntegerField()
    start = models.DateTimeField()
    node = models.CharField(max_length=64)
    model = models.CharField(max_length=255, blank=True)

    samples = _sum()
    up = models.BigIntegerField(default=0, help_text="Samples in which the node answered.")
    bytes = models.BigIntegerField(default=0, help_text="Used, added up over the samples; as those below.")
    total_bytes = _sum()
    free_bytes = _sum()
    stranded_bytes = _sum()
    spilled_bytes = _sum()
    predicted_bytes = _sum()
    measured_bytes = models.BigIntegerField(default=0, help_text="Used, where a prediction was known.")
    kv_bytes = _sum()
    stranded = models.BigIntegerField(default=0, help_text="Samples in which room was stranded.")
    pressed = models.BigIntegerField(default=0, help_text="Samples in which the next model had no room.")
    pinned = models.BigIntegerField(default=0, help_text="Samples in which it was pinned.")
    waiting = _sum()
    most_in_flight = models.BigIntegerField(default=0)
    most_ctx = models.BigIntegerField(default=0)
    most_slots = models.BigIntegerField(default=0)
    kv_type = models.CharField(max_length=8, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["span", "start", "node", "model"], name="vram_rolled_once")
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} {self.node} {self.model}"


class CostHour(models.Model):
    """An hour whose costs were worked out, or have to be (anew)."""

    start = models.DateTimeField(unique=True)
    changes = models.BigIntegerField(default=1, help_text="Counted up when records of the hour come in.")
    worked_changes = models.BigIntegerField(default=0, help_text="Those that its costs know of.")
    unsettled = models.BooleanField(default=False, help_text="A prefetch of it has no outcome yet.")
    worked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H}"


class ModelGaps(models.Model):
    """How long a model was asked for by nobody, hour by hour (scheduler.policy.economy.Gaps)."""

    start = models.DateTimeField(help_text="Of the hour.")
    model = models.CharField(max_length=255)
    gaps = models.JSONField(default=dict, help_text="Bin: number of gaps that ended in it, their seconds.")
    idle_since = models.DateTimeField(help_text="When its last request of the hour ended.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["start", "model"], name="gaps_once")]

    def __str__(self) -> str:
        return f"{self.model} {self.start:%Y-%m-%d %H}"


class Mark(models.Model):
    """How far something has been read: the id of the last record that is in the sums."""

    name = models.CharField(max_length=32, unique=True)
    position = models.BigIntegerField(default=0)
    at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} {self.position}"

from __future__ import annotations

from django.db import models


class NodeSample(models.Model):
    """A node's VRAM at one moment, as the leading scheduler saw it: one a minute, kept for some weeks."""

    node = models.CharField(max_length=64)
    at = models.DateTimeField()
    up = models.BooleanField(help_text="It answered, and was in no quarantine.")
    total_bytes = models.BigIntegerField(help_text="VRAM for models; 0 where nobody knows.")
    used_bytes = models.BigIntegerField()
    reserved_bytes = models.BigIntegerField(help_text="For a load that runs.")
    free_bytes = models.BigIntegerField()
    spilled_bytes = models.BigIntegerField(help_text="Of residents, in host memory.")
    stranded_bytes = models.BigIntegerField(help_text="Free, but too little for the next demanded model.")
    wanted = models.CharField(max_length=255, blank=True, help_text="The next demanded model.")
    in_flight = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField(help_text="Requests in lines that this node could serve.")
    watts = models.FloatField(null=True, help_text="What its GPUs drew; empty where nobody measures.")
    residents = models.JSONField(default=list, help_text="See scheduler.residency.sampling.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "at"], name="one_sample_per_moment")]
        indexes = [models.Index(fields=["at"], name="sample_at")]

    def __str__(self) -> str:
        return f"{self.node} at {self.at:%Y-%m-%d %H:%M}"

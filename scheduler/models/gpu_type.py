from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class GpuTypeQuerySet(models.QuerySet["GpuType"]):
    def enabled(self) -> GpuTypeQuerySet:
        return self.filter(enabled=True)


class GpuType(models.Model):
    """A type of GPU that plans compare. The prices are the operator's own; those seeded are examples."""

    name = models.CharField(max_length=64, unique=True)
    enabled = models.BooleanField(default=True, help_text="Plans compare it.")
    vram_gb = models.FloatField(
        "VRAM in GB",
        validators=[MinValueValidator(0.5), MaxValueValidator(10_000)],
        help_text="Of one node: with two cards in it, what both have.",
    )
    load_gbps = models.FloatField(
        "load speed in GB/s",
        default=2.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(1000)],
        help_text="From its disk or page cache into VRAM; the Nodes page shows what yours reach.",
    )
    speed = models.FloatField(
        "tokens per second, factor",
        default=1.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(100)],
        help_text="1 is a card with 900 GB/s of memory bandwidth, such as an RTX 3090.",
    )
    usd_per_hour = models.DecimalField(
        "$ per hour",
        max_digits=9,
        decimal_places=4,
        validators=[MinValueValidator(Decimal("0.0001"))],
        help_text="What one node costs: rent, or purchase and power over its life.",
    )
    note = models.CharField(max_length=200, blank=True)

    objects = GpuTypeQuerySet.as_manager()

    class Meta:
        ordering = ["vram_gb", "name"]
        verbose_name = "GPU type"

    def as_json(self) -> dict[str, Any]:
        """What a plan takes over of it."""
        return {
            "name": self.name,
            "vram_gb": self.vram_gb,
            "load_gbps": self.load_gbps,
            "speed": self.speed,
            "usd_per_hour": float(self.usd_per_hour),
        }

    def __str__(self) -> str:
        return self.name
